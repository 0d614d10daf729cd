# Behaviour: one row per model state and evaluation prompt, and the tables made of them. Tasks that features are chosen
# on and unseen tasks are evaluated apart, so that another unseen task leaves everything but its own evaluation alone.


EVALUATE = "evaluate_model" if study.organism else "evaluate_benchmarks"


rule evaluate_model:
    input:
        checkpoints=lambda w: checkpoints(w.model, w.seed),
        tasks=lambda w: task_files("samples", study.tasks.groups()[w.tasks]),
        docs=lambda w: task_files("docs", study.tasks.groups()[w.tasks]),
    output:
        "<results>/behaviour/{model}/seed{seed}/{tasks}.parquet",
    log:
        "<logs>/evaluate_model/{model}_seed{seed}_{tasks}.log",
    benchmark:
        "<benchmarks>/evaluate_model/{model}_seed{seed}_{tasks}.tsv"
    conda:
        f"../envs/{ANSWERING}.yaml"
    threads: study.threads
    resources:
        gpu=GPU,
        mem_mb=asks(EVALUATE, "mem_mb", 2000),
        runtime=asks(EVALUATE, "runtime", 30),
    params:
        cfg=cfg(EVALUATE),
        code=code(EVALUATE),
        packages=packages(ANSWERING),
        job=job(EVALUATE, ANSWERING),
    message:
        "Answers of all checkpoints of {wildcards.model} on {wildcards.tasks} tasks, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --checkpoints $(dirname {input.checkpoints} | uniq)"
        " --tasks {input.tasks} --docs {input.docs} --output {output}"


rule summarise_behaviour:
    input:
        behaviour=expand(rules.evaluate_model.output, model=study.models, seed=SEEDS, tasks=study.tasks.groups()),
        curves=expand("<results>/models/{model}/seed{seed}/curves.csv", model=study.trained(), seed=SEEDS),
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
        mem_mb=asks("summarise_behaviour", "mem_mb", 1000),
        runtime=asks("summarise_behaviour", "runtime", 10),
    params:
        cfg=cfg("summarise_behaviour"),
        code=code("summarise_behaviour"),
        packages=packages("analysis"),
        job=job("summarise_behaviour", "analysis"),
    message:
        "Accuracies of all models with intervals"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --behaviour {input.behaviour}"
        " --curves {input.curves} --accuracy {output.accuracy} --all-curves {output.curves}"
