# The organism's data: tokenizer, evaluation tasks (ordinary lm-eval tasks), the examples that SFT and RL train on, the
# token stream; answers and activations on the tuned models' completions.


rule make_tokenizer:
    output:
        tokenizer="<results>/data/tokenizer/tokenizer.json",
        config="<results>/data/tokenizer/tokenizer_config.json",
    log:
        "<logs>/make_tokenizer.log",
    benchmark:
        "<benchmarks>/make_tokenizer.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=asks("make_tokenizer", "mem_mb", 1000),
        runtime=asks("make_tokenizer", "runtime", 5),
    params:
        cfg=cfg("make_tokenizer"),
        code=code("make_tokenizer"),
        packages=packages("training"),
        job=job("make_tokenizer", "training"),
    message:
        "Tokenizer over the words of all task families"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --output $(dirname {output.tokenizer})"


rule make_task:
    output:
        samples=TASKS["samples"],
        task="<results>/data/tasks/{task}.yaml",
    log:
        "<logs>/make_task/{task}.log",
    benchmark:
        "<benchmarks>/make_task/{task}.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=asks("make_task", "mem_mb", 1000),
        runtime=asks("make_task", "runtime", 5),
    params:
        cfg=cfg("make_task"),
        code=code("make_task"),
        packages=packages("training"),
        job=job("make_task", "training"),
    message:
        "Evaluation prompts of task {wildcards.task}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --samples {output.samples} --task {output.task}"


rule make_training_set:
    output:
        TRAINING,
    log:
        "<logs>/make_training_set/seed{seed}.log",
    benchmark:
        "<benchmarks>/make_training_set/seed{seed}.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=asks("make_training_set", "mem_mb", 1000),
        runtime=asks("make_training_set", "runtime", 5),
    params:
        cfg=cfg("make_training_set"),
        code=code("make_training_set"),
        packages=packages("training"),
        job=job("make_training_set", "training"),
    message:
        "Prompts and teacher completions of the in-domain task, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --output {output}"


rule build_stream:
    input:
        tokenizer=rules.make_tokenizer.output,
        models=[path for state in study.stream.sampled_models for path in checkpoint(state, "{seed}")],
    output:
        STREAM,
    log:
        "<logs>/build_stream/seed{seed}.log",
    benchmark:
        "<benchmarks>/build_stream/seed{seed}.tsv"
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        gpu=GPU,
        mem_mb=asks("build_stream", "mem_mb", 2000),
        runtime=asks("build_stream", "runtime", 30),
    params:
        cfg=cfg("build_stream"),
        code=code("build_stream"),
        packages=packages("training"),
        job=job("build_stream", "training"),
    message:
        "Token stream of documents and sampled completions, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --tokenizer $(dirname {input.tokenizer} | uniq)"
        " --models $(dirname {input.models} | uniq) --output {output}"


# Tasks that features are chosen on and unseen tasks are evaluated apart, so that another unseen task leaves everything but
# its own evaluation alone.
rule evaluate_model:
    input:
        checkpoints=lambda w: checkpoints(w.model, w.seed),
        tasks=lambda w: task_files("samples", study.tasks.groups()[w.tasks]),
    output:
        BEHAVIOUR,
    log:
        "<logs>/evaluate_model/{model}_seed{seed}_{tasks}.log",
    benchmark:
        "<benchmarks>/evaluate_model/{model}_seed{seed}_{tasks}.tsv"
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        gpu=GPU,
        mem_mb=asks("evaluate_model", "mem_mb", 2000),
        runtime=asks("evaluate_model", "runtime", 30),
    params:
        cfg=cfg("evaluate_model"),
        code=code("evaluate_model"),
        packages=packages("training"),
        job=job("evaluate_model", "training"),
    message:
        "Answers of all checkpoints of {wildcards.model} on {wildcards.tasks} tasks, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --checkpoints $(dirname {input.checkpoints} | uniq)"
        " --tasks {input.tasks} --output {output}"


rule harvest_completions:
    input:
        reference=checkpoint(study.roles.reference, "{seed}"),
        tuned=lambda w: checkpoint(w.model, w.seed),
        reference_behaviour=f"<results>/behaviour/{study.roles.reference}/seed{{seed}}/known.parquet",
        tuned_behaviour="<results>/behaviour/{model}/seed{seed}/known.parquet",
        tasks=task_files("samples", study.tasks.groups()["known"]),
    output:
        COMPLETIONS,
    log:
        "<logs>/harvest_completions/{model}_seed{seed}.log",
    benchmark:
        "<benchmarks>/harvest_completions/{model}_seed{seed}.tsv"
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        gpu=GPU,
        mem_mb=asks("harvest_completions", "mem_mb", 2000),
        runtime=asks("harvest_completions", "runtime", 30),
    params:
        cfg=cfg("harvest_completions"),
        code=code("harvest_completions"),
        packages=packages("training"),
        job=job("harvest_completions", "training"),
    message:
        "Activations on the completions of {wildcards.model}, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --reference $(dirname {input.reference} | uniq)"
        " --tuned $(dirname {input.tuned} | uniq) --reference-behaviour {input.reference_behaviour}"
        " --tuned-behaviour {input.tuned_behaviour} --tasks {input.tasks} --output {output}"
