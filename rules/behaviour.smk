# Behaviour: the tables made of what the models answered.


rule summarise_behaviour:
    input:
        behaviour=expand(BEHAVIOUR, model=study.models, seed=SEEDS, tasks=study.tasks.groups()),
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
