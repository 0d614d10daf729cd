# Edits of published models on benchmarks, with their controls and rivals.


rule intervene_benchmarks:
    input:
        dictionary=lambda w: of_procedure(w.procedure, w.seed, "features.parquet"),
        chosen=rules.score_features.output.chosen,
        completions=lambda w: completions_of(w.procedure, w.seed),
        models=lambda w: [p for s in slices.edited_models(study, w.procedure) for p in checkpoint(s, w.seed)],
        tasks=task_files("samples", slices.edited_tasks(study)),
        docs=task_files("docs", slices.edited_tasks(study)),
    output:
        INTERVENTION,
    log:
        "<logs>/intervene_benchmarks/{procedure}_seed{seed}.log",
    benchmark:
        "<benchmarks>/intervene_benchmarks/{procedure}_seed{seed}.tsv"
    conda:
        "../envs/benchmarks.yaml"
    threads: study.threads
    resources:
        gpu=GPU,
        mem_mb=asks("intervene_benchmarks", "mem_mb", 2000),
        runtime=asks("intervene_benchmarks", "runtime", 60),
    params:
        cfg=cfg("intervene_benchmarks"),
        code=code("intervene_benchmarks"),
        packages=packages("benchmarks"),
        job=job("intervene_benchmarks", "benchmarks"),
    message:
        "Edits by {wildcards.procedure} and matched random sets, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
        " --set {input.chosen} --completions {input.completions} --models $(dirname {input.models} | uniq)"
        " --tasks {input.tasks} --docs {input.docs} --output {output}"


rule steer_benchmarks:
    input:
        completions=f"<results>/activations/seed{{seed}}/completions/{study.roles.target}.safetensors",
        models=[path for state in slices.steered_states(study) for path in checkpoint(state, "{seed}")],
        tasks=task_files("samples", slices.edited_tasks(study)),
        docs=task_files("docs", slices.edited_tasks(study)),
        behaviour=lambda w: [path for s in slices.steered_states(study) for path in behaviour_of(s, w.seed)],
    output:
        table=STEERING,
        agreement="<results>/interventions/steering/agreement_seed{seed}.csv",
    log:
        "<logs>/steer_benchmarks/seed{seed}.log",
    benchmark:
        "<benchmarks>/steer_benchmarks/seed{seed}.tsv"
    conda:
        "../envs/benchmarks.yaml"
    threads: study.threads
    resources:
        gpu=GPU,
        mem_mb=asks("steer_benchmarks", "mem_mb", 2000),
        runtime=asks("steer_benchmarks", "runtime", 60),
    params:
        cfg=cfg("steer_benchmarks"),
        code=code("steer_benchmarks"),
        packages=packages("benchmarks"),
        job=job("steer_benchmarks", "benchmarks"),
    message:
        "Steering with the planted direction, mean shifts and random directions, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --completions {input.completions}"
        " --models $(dirname {input.models} | uniq)"
        " --tasks {input.tasks} --docs {input.docs} --behaviour {input.behaviour} --output {output.table}"
        " --agreement {output.agreement}"
