# Interventions: what edits change.


rule summarise_interventions:
    input:
        interventions=expand(INTERVENTION, procedure=slices.edited_procedures(study), seed=SEEDS),
        steering=expand(STEERING, seed=SEEDS),
    output:
        "<results>/interventions/effects.csv",
    log:
        "<logs>/summarise_interventions.log",
    benchmark:
        "<benchmarks>/summarise_interventions.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: study.threads
    resources:
        gpu=0,
        mem_mb=asks("summarise_interventions", "mem_mb", 2000),
        runtime=asks("summarise_interventions", "runtime", 30),
    params:
        cfg=cfg("summarise_interventions"),
        code=code("summarise_interventions"),
        packages=packages("analysis"),
        job=job("summarise_interventions", "analysis"),
    message:
        "Effects of all edits with intervals"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --interventions {input.interventions}"
        " --steering {input.steering} --output {output}"
