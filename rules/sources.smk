# Data that others published: models, problems, texts and benchmarks, brought into the study once and checked; teacher
# trajectories; the token stream. Rules that may need the network run beside Snakemake itself (`localrule`), so that
# jobs on a cluster's nodes need none: `snakemake download` runs all of these and nothing else. They come before other
# jobs (`priority`), because they refuse what does not fit before a GPU has worked for it.


SOURCES = study.data.sources
FIRST = SEEDS[0]  # published models and benchmarks are the same for all seeds


rule fetch_source:
    output:
        rows="<results>/data/sources/{source}.jsonl",
        facts="<results>/data/sources/{source}.json",
    log:
        "<logs>/fetch_source/{source}.log",
    benchmark:
        "<benchmarks>/fetch_source/{source}.tsv"
    priority: 1
    localrule: True
    conda:
        "../envs/sources.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=asks("fetch_source", "mem_mb", 2000),
        runtime=asks("fetch_source", "runtime", 60),
    params:
        cfg=cfg("fetch_source"),
        code=code("fetch_source"),
        packages=packages("sources"),
        job=job("fetch_source", "sources"),
    message:
        "Published rows of source {wildcards.source}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --output {output.rows} --facts {output.facts}"


for model in study.made_by("load"):

    rule:
        name:
            f"import_model_{model}"
        input:
            # The reference comes first: the others must fit to it.
            checkpoint(study.roles.reference, "{seed}") if model != study.roles.reference else [],
        output:
            checkpoints(model, "{seed}"),
            source=f"<results>/models/{model}/seed{{seed}}/source.json",
        log:
            f"<logs>/import_model/{model}_seed{{seed}}.log",
        benchmark:
            f"<benchmarks>/import_model/{model}_seed{{seed}}.tsv"
        priority: 1
        localrule: True
        conda:
            "../envs/sources.yaml"
        threads: study.threads
        resources:
            gpu=0,
            mem_mb=asks("import_model", "mem_mb", 2000),
            runtime=asks("import_model", "runtime", 60),
        params:
            cfg=cfg("import_model", model=model),
            code=code("import_model"),
            packages=packages("sources"),
            job=job("import_model", "sources"),
            reference=lambda w, input: f"--reference {os.path.dirname(input[0])}" if input else "",
        message:
            f"Model {model}, fetched and checked, seed {{wildcards.seed}}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} {params.reference} --output $(dirname {output.source})"


rule make_benchmark:
    input:
        reference=checkpoint(study.roles.reference, FIRST),
        problems=problems(),
    output:
        samples=TASKS["samples"],
        docs=TASKS["docs"],
        counts="<results>/data/tasks/{task}.counts.json",
    log:
        "<logs>/make_benchmark/{task}.log",
    benchmark:
        "<benchmarks>/make_benchmark/{task}.tsv"
    priority: 1
    localrule: True
    conda:
        "../envs/benchmarks.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=asks("make_benchmark", "mem_mb", 4000),
        runtime=asks("make_benchmark", "runtime", 60),
    params:
        cfg=cfg("make_benchmark"),
        code=code("make_benchmark"),
        packages=packages("benchmarks"),
        job=job("make_benchmark", "benchmarks"),
    message:
        "Evaluation prompts of benchmark {wildcards.task}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --reference $(dirname {input.reference} | uniq)"
        " --training {input.problems} --samples {output.samples} --docs {output.docs} --counts {output.counts}"


if study.data.teacher:

    rule import_teacher:
        output:
            [f"<results>/models/teacher/checkpoint1/{name}" for name in CHECKPOINT],
            source="<results>/models/teacher/source.json",
        log:
            "<logs>/import_teacher.log",
        benchmark:
            "<benchmarks>/import_teacher.tsv"
        priority: 1
        localrule: True
        conda:
            "../envs/sources.yaml"
        threads: study.threads
        resources:
            gpu=0,
            mem_mb=asks("import_model", "mem_mb", 2000),
            runtime=asks("import_model", "runtime", 60),
        params:
            cfg=cfg("import_teacher"),
            code=code("import_model"),
            packages=packages("sources"),
            job=job("import_model", "sources"),
        message:
            "The teacher, fetched and checked"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --output $(dirname {output.source})"

    rule write_trajectories:
        input:
            problems=problems(),
            teacher=[path for path in rules.import_teacher.output if not path.endswith("source.json")],
        output:
            "<results>/data/trajectories/seed{seed}/{shard}.jsonl",
        log:
            "<logs>/write_trajectories/seed{seed}_{shard}.log",
        benchmark:
            "<benchmarks>/write_trajectories/seed{seed}_{shard}.tsv"
        conda:
            "../envs/benchmarks.yaml"
        threads: study.threads
        resources:
            gpu=study.data.teacher.gpus * GPU,
            mem_mb=asks("write_trajectories", "mem_mb", 2000),
            runtime=asks("write_trajectories", "runtime", 60),
        params:
            cfg=cfg("write_trajectories"),
            code=code("write_trajectories"),
            packages=packages("benchmarks"),
            job=job("write_trajectories", "benchmarks", resumable=True),
        message:
            "Teacher's solutions, part {wildcards.shard}, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --problems {input.problems}"
            " --teacher $(dirname {input.teacher} | uniq) --output {output}"

    rule collect_trajectories:
        input:
            [f"<results>/data/trajectories/seed{{seed}}/{i}.jsonl" for i in range(study.data.teacher.shards)],
        output:
            training=TRAINING,
            report="<results>/data/training/seed{seed}.csv",
        log:
            "<logs>/collect_trajectories/seed{seed}.log",
        benchmark:
            "<benchmarks>/collect_trajectories/seed{seed}.tsv"
        conda:
            "../envs/training.yaml"
        threads: 1
        resources:
            gpu=0,
            mem_mb=asks("collect_trajectories", "mem_mb", 4000),
            runtime=asks("collect_trajectories", "runtime", 30),
        params:
            cfg=cfg("collect_trajectories"),
            code=code("collect_trajectories"),
            packages=packages("training"),
            job=job("collect_trajectories", "training"),
        message:
            "Accepted solutions of the teacher, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --trajectories {input}"
            " --output {output.training} --report {output.report}"

elif study.data.problems:

    rule draw_problems:
        input:
            problems(),
        output:
            TRAINING,
        log:
            "<logs>/draw_problems/seed{seed}.log",
        benchmark:
            "<benchmarks>/draw_problems/seed{seed}.tsv"
        conda:
            "../envs/training.yaml"
        threads: 1
        resources:
            gpu=0,
            mem_mb=asks("draw_problems", "mem_mb", 4000),
            runtime=asks("draw_problems", "runtime", 30),
        params:
            cfg=cfg("draw_problems"),
            code=code("draw_problems"),
            packages=packages("training"),
            job=job("draw_problems", "training"),
        message:
            "Problems in an order of their own, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --problems {input} --output {output}"


rule build_mixed_stream:
    input:
        sources=source_texts(),
        reference=checkpoint(study.roles.reference, "{seed}"),
    output:
        STREAM,
    log:
        "<logs>/build_mixed_stream/seed{seed}.log",
    benchmark:
        "<benchmarks>/build_mixed_stream/seed{seed}.tsv"
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        gpu=GPU,
        mem_mb=asks("build_mixed_stream", "mem_mb", 2000),
        runtime=asks("build_mixed_stream", "runtime", 30),
    params:
        cfg=cfg("build_mixed_stream", part=0),
        code=code("build_mixed_stream"),
        packages=packages("training"),
        job=job("build_mixed_stream", "training"),
    message:
        "Token stream of the sources, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --sources {input.sources}"
        " --reference $(dirname {input.reference} | uniq) --output {output}"


# Tasks that features are chosen on and unseen tasks are evaluated apart, so that another unseen task leaves everything but
# its own evaluation alone.
rule evaluate_benchmarks:
    input:
        checkpoints=lambda w: checkpoints(w.model, w.seed),
        tasks=lambda w: task_files("samples", study.tasks.groups()[w.tasks]),
        docs=lambda w: task_files("docs", study.tasks.groups()[w.tasks]),
    output:
        BEHAVIOUR,
    log:
        "<logs>/evaluate_benchmarks/{model}_seed{seed}_{tasks}.log",
    benchmark:
        "<benchmarks>/evaluate_benchmarks/{model}_seed{seed}_{tasks}.tsv"
    conda:
        "../envs/benchmarks.yaml"
    threads: study.threads
    resources:
        gpu=GPU,
        mem_mb=asks("evaluate_benchmarks", "mem_mb", 2000),
        runtime=asks("evaluate_benchmarks", "runtime", 30),
    params:
        cfg=cfg("evaluate_benchmarks"),
        code=code("evaluate_benchmarks"),
        packages=packages("benchmarks"),
        job=job("evaluate_benchmarks", "benchmarks"),
    message:
        "Answers of all checkpoints of {wildcards.model} on {wildcards.tasks} tasks, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --checkpoints $(dirname {input.checkpoints} | uniq)"
        " --tasks {input.tasks} --docs {input.docs} --output {output}"


rule harvest_benchmark_completions:
    input:
        reference=checkpoint(study.roles.reference, "{seed}"),
        tuned=lambda w: checkpoint(w.model, w.seed),
        reference_behaviour=f"<results>/behaviour/{study.roles.reference}/seed{{seed}}/known.parquet",
        tuned_behaviour="<results>/behaviour/{model}/seed{seed}/known.parquet",
        tasks=task_files("samples", study.tasks.groups()["known"]),
    output:
        COMPLETIONS,
    log:
        "<logs>/harvest_benchmark_completions/{model}_seed{seed}.log",
    benchmark:
        "<benchmarks>/harvest_benchmark_completions/{model}_seed{seed}.tsv"
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        gpu=GPU,
        mem_mb=asks("harvest_benchmark_completions", "mem_mb", 2000),
        runtime=asks("harvest_benchmark_completions", "runtime", 30),
    params:
        cfg=cfg("harvest_benchmark_completions"),
        code=code("harvest_benchmark_completions"),
        packages=packages("training"),
        job=job("harvest_benchmark_completions", "training"),
    message:
        "Activations on the completions of {wildcards.model}, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --reference $(dirname {input.reference} | uniq)"
        " --tuned $(dirname {input.tuned} | uniq) --reference-behaviour {input.reference_behaviour}"
        " --tuned-behaviour {input.tuned_behaviour} --tasks {input.tasks} --output {output}"


rule download:
    input:
        expand(rules.fetch_source.output, source=SOURCES),
        [path for model in study.made_by("load") for seed in SEEDS for path in checkpoints(model, seed)],
        expand("<results>/models/{model}/seed{seed}/source.json", model=study.made_by("load"), seed=SEEDS),
        rules.import_teacher.output if study.data.teacher else [],
        expand(rules.make_benchmark.output, task=study.tasks.role_of()),
    localrule: True
