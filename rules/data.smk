# The organism's data: tokenizer, evaluation tasks (ordinary lm-eval tasks), the examples that SFT and RL train on.


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
        mem_mb=grows(1000),
        runtime=grows(5),
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
        samples="<results>/data/tasks/{task}.jsonl",
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
        mem_mb=grows(1000),
        runtime=grows(5),
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
        "<results>/data/training/seed{seed}.jsonl",
    log:
        "<logs>/make_training_set/seed{seed}.log",
    benchmark:
        "<benchmarks>/make_training_set/seed{seed}.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=grows(1000),
        runtime=grows(5),
    params:
        cfg=cfg("make_training_set"),
        code=code("make_training_set"),
        packages=packages("training"),
        job=job("make_training_set", "training"),
    message:
        "Prompts and teacher completions of the in-domain task, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --output {output}"
