# The planted truth, which only the organism has: its direction, edits of the organism's models with their controls and
# rivals, and what the procedures have found of the truth.


rule measure_truth:
    input:
        checkpoint(study.roles.reference, "{seed}"),
    output:
        "<results>/interventions/truth/seed{seed}.safetensors",
    log:
        "<logs>/measure_truth/seed{seed}.log",
    benchmark:
        "<benchmarks>/measure_truth/seed{seed}.tsv"
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        gpu=GPU,
        mem_mb=asks("measure_truth", "mem_mb", 2000),
        runtime=asks("measure_truth", "runtime", 30),
    params:
        cfg=cfg("measure_truth"),
        code=code("measure_truth"),
        packages=packages("training"),
        job=job("measure_truth", "training"),
    message:
        "Planted direction from careless to careful authors, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --model $(dirname {input} | uniq)" " --output {output}"


# The organism is so small that its edits run as fast on a processor.
rule intervene:
    input:
        dictionary=lambda w: of_procedure(w.procedure, w.seed, "features.parquet"),
        chosen=rules.score_features.output.chosen,
        completions=lambda w: completions_of(w.procedure, w.seed),
        models=lambda w: [p for s in slices.edited_models(study, w.procedure) for p in checkpoint(s, w.seed)],
        tasks=task_files("samples", slices.edited_tasks(study)),
    output:
        INTERVENTION,
    log:
        "<logs>/intervene/{procedure}_seed{seed}.log",
    benchmark:
        "<benchmarks>/intervene/{procedure}_seed{seed}.tsv"
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        gpu=0,
        mem_mb=asks("intervene", "mem_mb", 2000),
        runtime=asks("intervene", "runtime", 60),
    params:
        cfg=cfg("intervene"),
        code=code("intervene"),
        packages=packages("training"),
        job=job("intervene", "training"),
    message:
        "Edits by {wildcards.procedure} and matched random sets, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
        " --set {input.chosen} --completions {input.completions} --models $(dirname {input.models} | uniq)"
        " --tasks {input.tasks} --output {output}"


rule steer:
    input:
        truth=rules.measure_truth.output,
        completions=f"<results>/activations/seed{{seed}}/completions/{study.roles.target}.safetensors",
        models=[path for state in slices.steered_states(study) for path in checkpoint(state, "{seed}")],
        tasks=task_files("samples", slices.edited_tasks(study)),
    output:
        STEERING,
    log:
        "<logs>/steer/seed{seed}.log",
    benchmark:
        "<benchmarks>/steer/seed{seed}.tsv"
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        gpu=0,
        mem_mb=asks("steer", "mem_mb", 2000),
        runtime=asks("steer", "runtime", 60),
    params:
        cfg=cfg("steer"),
        code=code("steer"),
        packages=packages("training"),
        job=job("steer", "training"),
    message:
        "Steering with the planted direction, mean shifts and random directions, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --truth {input.truth} --completions {input.completions}"
        " --models $(dirname {input.models} | uniq)"
        " --tasks {input.tasks} --output {output}"


rule measure_recovery:
    input:
        truth=rules.measure_truth.output,
        dictionaries=[of_procedure(name, "{seed}")[0] for name in study.procedures],
        beside=[p for name in study.procedures for p in of_procedure(name, "{seed}", "features.parquet")[1:]],
        sets=expand(rules.score_features.output.chosen, procedure=study.procedures, allow_missing=True),
        completions=[completions_of(name, "{seed}") for name in study.procedures],
    output:
        "<results>/interventions/recovery/seed{seed}.csv",
    log:
        "<logs>/measure_recovery/seed{seed}.log",
    benchmark:
        "<benchmarks>/measure_recovery/seed{seed}.tsv"
    conda:
        "../envs/dictionaries.yaml"
    threads: study.threads
    resources:
        gpu=0,
        mem_mb=asks("measure_recovery", "mem_mb", 2000),
        runtime=asks("measure_recovery", "runtime", 30),
    params:
        cfg=cfg("measure_recovery"),
        code=code("measure_recovery"),
        packages=packages("dictionaries"),
        job=job("measure_recovery", "dictionaries"),
    message:
        "Chosen features against the planted direction, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --truth {input.truth}"
        " --dictionaries $(dirname {input.dictionaries}) --sets {input.sets}"
        " --completions {input.completions} --output {output}"


rule summarise_recovery:
    input:
        expand(rules.measure_recovery.output, seed=SEEDS),
    output:
        "<results>/interventions/recovery.csv",
    log:
        "<logs>/summarise_recovery.log",
    benchmark:
        "<benchmarks>/summarise_recovery.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=asks("summarise_seeds", "mem_mb", 1000),
        runtime=asks("summarise_seeds", "runtime", 10),
    params:
        cfg=cfg("summarise_seeds"),
        code=code("summarise_seeds"),
        packages=packages("analysis"),
        job=job("summarise_seeds", "analysis"),
    message:
        "Recovery of the planted truth in all seeds"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --tables {input} --output {output}"
