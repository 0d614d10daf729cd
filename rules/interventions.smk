# Interventions: edits inside generation with their controls and rivals, and what they change.

# The organism is so small that its edits run as fast on a processor.
EDITING_GPU = 0 if study.organism else GPU


rule intervene:
    input:
        dictionary=lambda w: of_procedure(w.procedure, w.seed, "features.parquet"),
        chosen=rules.score_features.output.chosen,
        completions=lambda w: completions_of(w.procedure, w.seed),
        models=lambda w: [p for s in slices.edited_models(study, w.procedure) for p in checkpoint(s, w.seed)],
        tasks=task_files("samples", slices.edited_tasks(study)),
        docs=task_files("docs", slices.edited_tasks(study)),
    output:
        "<results>/interventions/{procedure}/seed{seed}.parquet",
    log:
        "<logs>/intervene/{procedure}_seed{seed}.log",
    benchmark:
        "<benchmarks>/intervene/{procedure}_seed{seed}.tsv"
    conda:
        f"../envs/{ANSWERING}.yaml"
    threads: study.threads
    resources:
        gpu=EDITING_GPU,
        mem_mb=asks("intervene", "mem_mb", 2000),
        runtime=asks("intervene", "runtime", 60),
    params:
        cfg=cfg("intervene"),
        code=code("intervene"),
        packages=packages(ANSWERING),
        job=job("intervene", ANSWERING),
    message:
        "Edits by {wildcards.procedure} and matched random sets, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
        " --set {input.chosen} --completions {input.completions} --models $(dirname {input.models} | uniq)"
        " --tasks {input.tasks} --docs {input.docs} --output {output}"


rule steer:
    input:
        truth=rules.measure_truth.output if study.organism else [],
        completions=f"<results>/activations/seed{{seed}}/completions/{study.roles.target}.safetensors",
        models=[path for state in slices.steered_states(study) for path in checkpoint(state, "{seed}")],
        tasks=task_files("samples", slices.edited_tasks(study)),
        docs=task_files("docs", slices.edited_tasks(study)),
    output:
        "<results>/interventions/steering/seed{seed}.parquet",
    log:
        "<logs>/steer/seed{seed}.log",
    benchmark:
        "<benchmarks>/steer/seed{seed}.tsv"
    conda:
        f"../envs/{ANSWERING}.yaml"
    threads: study.threads
    resources:
        gpu=EDITING_GPU,
        mem_mb=asks("steer", "mem_mb", 2000),
        runtime=asks("steer", "runtime", 60),
    params:
        cfg=cfg("steer"),
        code=code("steer"),
        packages=packages(ANSWERING),
        job=job("steer", ANSWERING),
    message:
        "Steering with the planted direction, mean shifts and random directions, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --truth {input.truth} --completions {input.completions}"
        " --models $(dirname {input.models} | uniq)"
        " --tasks {input.tasks} --docs {input.docs} --output {output}"


rule summarise_interventions:
    input:
        interventions=expand(rules.intervene.output, procedure=slices.edited_procedures(study), seed=SEEDS),
        steering=expand(rules.steer.output, seed=SEEDS),
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
