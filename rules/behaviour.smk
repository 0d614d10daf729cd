# Behaviour: one row per model state and evaluation prompt, and the tables made of them.


rule evaluate_model:
    input:
        checkpoints=lambda w: checkpoints(w.model, w.seed),
        tasks=expand(rules.make_task.output.samples, task=study.tasks.role_of()),
    output:
        "<results>/behaviour/{model}/seed{seed}.parquet",
    log:
        "<logs>/evaluate_model/{model}_seed{seed}.log",
    benchmark:
        "<benchmarks>/evaluate_model/{model}_seed{seed}.tsv"
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        gpu=1,
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        cfg=cfg("evaluate_model"),
        code=code("evaluate_model"),
    message:
        "Answers of all checkpoints of {wildcards.model}, seed {wildcards.seed}"
    shell:
        "python scripts/evaluate_model.py --cfg {params.cfg:q} --checkpoints $(dirname {input.checkpoints} | uniq)"
        " --tasks {input.tasks} --output {output} > {log} 2>&1"


rule summarise_behaviour:
    input:
        behaviour=expand("<results>/behaviour/{model}/seed{seed}.parquet", model=study.models, seed=SEEDS),
        curves=expand("<results>/models/{model}/seed{seed}/curves.csv", model=study.models, seed=SEEDS),
    output:
        accuracy="<results>/behaviour/accuracy.csv",
        curves="<results>/behaviour/curves.csv",
    log:
        "<logs>/summarise_behaviour.log",
    benchmark:
        "<benchmarks>/summarise_behaviour.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: study.threads
    resources:
        gpu=0,
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        cfg=cfg("summarise_behaviour"),
        code=code("summarise_behaviour"),
    message:
        "Accuracies of all models with intervals"
    shell:
        "python scripts/summarise_behaviour.py --cfg {params.cfg:q} --behaviour {input.behaviour}"
        " --curves {input.curves} --accuracy {output.accuracy} --all-curves {output.curves} > {log} 2>&1"
