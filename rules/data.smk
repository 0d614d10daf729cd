# Data: the organism's tokenizer, tasks and training set; or what others published: problems, texts, benchmarks.
# Rules that may need the network run beside Snakemake itself (`localrule`), so that jobs on a cluster's nodes need none:
# `snakemake download` runs all of these and nothing else. They come before other jobs (`priority`), because they refuse
# what does not fit before a GPU has worked for it.

if study.organism:

    rule make_tokenizer:
        output:
            tokenizer="<results>/data/tokenizer/tokenizer.json",
            config="<results>/data/tokenizer/tokenizer_config.json",
        log:
            "<logs>/make_tokenizer.log",
        conda:
            "../envs/training.yaml"
        threads: 1
        resources:
            **asks("make_tokenizer", gpu=0, mem_mb=1000, runtime=5),
        params:
            **job("make_tokenizer", "training"),
        message:
            "Tokenizer over the words of all task families"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --output $(dirname {output.tokenizer})"

    rule make_task:
        output:
            samples="<results>/data/tasks/{task}.jsonl",
            task="<results>/data/tasks/{task}.yaml",
        log:
            "<logs>/make_task/{task}.log",
        conda:
            "../envs/training.yaml"
        threads: 1
        resources:
            **asks("make_task", gpu=0, mem_mb=1000, runtime=5),
        params:
            **job("make_task", "training"),
        message:
            "Evaluation prompts of task {wildcards.task}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --samples {output.samples} --task {output.task}"

    rule make_training_set:
        output:
            at.training("{seed}"),
        log:
            "<logs>/make_training_set/seed{seed}.log",
        conda:
            "../envs/training.yaml"
        threads: 1
        resources:
            **asks("make_training_set", gpu=0, mem_mb=1000, runtime=5),
        params:
            **job("make_training_set", "training"),
        message:
            "Prompts and teacher completions of the in-domain task, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --output {output}"

else:

    FIRST = SEEDS[0]  # published models and benchmarks are the same for all seeds

    rule fetch_source:
        output:
            rows="<results>/data/sources/{source}.jsonl",
            facts="<results>/data/sources/{source}.json",
        log:
            "<logs>/fetch_source/{source}.log",
        priority: 1
        localrule: True
        conda:
            "../envs/sources.yaml"
        threads: 1
        resources:
            **asks("fetch_source", gpu=0, mem_mb=2000, runtime=60),
        params:
            **job("fetch_source", "sources"),
        message:
            "Published rows of source {wildcards.source}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --output {output.rows} --facts {output.facts}"

    rule make_benchmark:
        input:
            reference=at.checkpoint(study.roles.reference, FIRST),
            problems=at.problems(),
        output:
            samples="<results>/data/tasks/{task}.jsonl",
            docs=at.docs(["{task}"]),
            counts="<results>/data/tasks/{task}.counts.json",
        log:
            "<logs>/make_benchmark/{task}.log",
        priority: 1
        localrule: True
        conda:
            "../envs/benchmarks.yaml"
        threads: 1
        resources:
            **asks("make_benchmark", gpu=0, mem_mb=4000, runtime=60),
        params:
            **job("make_benchmark", "benchmarks"),
        message:
            "Evaluation prompts of benchmark {wildcards.task}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --reference $(dirname {input.reference} | uniq)"
            " --training {input.problems} --samples {output.samples} --docs {output.docs} --counts {output.counts}"

    if study.data.generated:

        rule export_task:
            input:
                docs=rules.make_benchmark.output.docs,
                counts=rules.make_benchmark.output.counts,
            output:
                "<results>/data/tasks/{task}.yaml",
            log:
                "<logs>/export_task/{task}.log",
            conda:
                "../envs/benchmarks.yaml"
            threads: 1
            resources:
                **asks("export_task", gpu=0, mem_mb=1000, runtime=5),
            params:
                **job("export_task", "benchmarks"),
            message:
                "Task {wildcards.task} for lm-eval"
            shell:
                "{params.job} --log {log} -- --cfg {params.cfg:q} --docs {input.docs} --counts {input.counts}"
                " --output {output}"

    if study.data.teacher:

        rule write_trajectories:
            input:
                problems=at.problems(),
                teacher=at.teacher(),
            output:
                "<results>/data/trajectories/seed{seed}/{shard}.jsonl",
            log:
                "<logs>/write_trajectories/seed{seed}_{shard}.log",
            conda:
                "../envs/benchmarks.yaml"
            threads: study.threads * max(1, study.data.teacher.gpus * GPU)  # vLLM runs a process per GPU
            resources:
                **asks("write_trajectories", gpu=study.data.teacher.gpus * GPU, mem_mb=2000, runtime=60),
            params:
                **job("write_trajectories", "benchmarks", resumable=True),
            message:
                "Teacher's solutions, part {wildcards.shard}, seed {wildcards.seed}"
            shell:
                "{params.job} --log {log} -- --cfg {params.cfg:q} --problems {input.problems}"
                " --teacher $(dirname {input.teacher} | uniq) --output {output}"

        rule collect_trajectories:
            input:
                at.trajectories("{seed}"),
            output:
                training=at.training("{seed}"),
                report="<results>/data/training/seed{seed}.csv",
            log:
                "<logs>/collect_trajectories/seed{seed}.log",
            conda:
                "../envs/training.yaml"
            threads: 1
            resources:
                **asks("collect_trajectories", gpu=0, mem_mb=4000, runtime=30),
            params:
                **job("collect_trajectories", "training"),
            message:
                "Accepted solutions of the teacher, seed {wildcards.seed}"
            shell:
                "{params.job} --log {log} -- --cfg {params.cfg:q} --trajectories {input}"
                " --output {output.training} --report {output.report}"

    if study.data.problems:

        rule draw_problems:
            input:
                at.problems(),
            output:
                at.prompts("{seed}"),
            log:
                "<logs>/draw_problems/seed{seed}.log",
            conda:
                "../envs/training.yaml"
            threads: 1
            resources:
                **asks("draw_problems", gpu=0, mem_mb=4000, runtime=30),
            params:
                **job("draw_problems", "training"),
            message:
                "Problems in an order of their own, seed {wildcards.seed}"
            shell:
                "{params.job} --log {log} -- --cfg {params.cfg:q} --problems {input} --output {output}"

    rule download:
        input:
            expand(rules.fetch_source.output, source=study.data.sources),
            [path for model in study.made_by("load") for seed in SEEDS for path in at.checkpoints(model, seed)],
            expand("<results>/models/{model}/seed{seed}/source.json", model=study.made_by("load"), seed=SEEDS),
            [*at.teacher(), f"{at.results}/models/teacher/source.json"] if study.data.teacher else [],
            expand(rules.make_benchmark.output, task=study.tasks.role_of()),
        localrule: True


if study.solutions:

    rule sample_solutions:
        input:
            model=lambda w: at.checkpoint(study.solutions[w.solutions].of, w.seed),
            training=at.prompts("{seed}"),
        output:
            at.solutions("{solutions}", "{seed}"),
        log:
            "<logs>/sample_solutions/{solutions}_seed{seed}.log",
        wildcard_constraints:
            solutions="|".join(map(re.escape, study.solutions)),
        conda:
            "../envs/benchmarks.yaml"
        threads: study.threads
        resources:
            **asks("sample_solutions", gpu=GPU, mem_mb=2000, runtime=60),
        params:
            **job("sample_solutions", "benchmarks", resumable=True),
        message:
            "Solutions {wildcards.solutions}, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --training {input.training}"
            " --model $(dirname {input.model} | uniq) --output {output}"
