# Interventions: edits inside generation with their controls and rivals, and what they change.
#
# The planted truth is the organism's alone. The organism is so small that its edits run as fast on a processor.

OWN = study.own_procedures()  # without those of variants
EDITING = {  # what a procedure's edits are made with
    "dictionary": lambda w: at.of_procedure(w.procedure, w.seed, "features.parquet"),
    "chosen": rules.score_features.output.chosen,
    "completions": lambda w: at.completions_of(w.procedure, w.seed),
    "models": lambda w: [p for s in slices.edited_models(study, w.procedure) for p in at.checkpoint(s, w.seed)],
    "tasks": at.samples(slices.edited_tasks(study)),
}

if study.organism:

    rule measure_truth:
        input:
            at.checkpoint(study.roles.reference, "{seed}"),
        output:
            "<results>/interventions/truth/seed{seed}.safetensors",
        log:
            "<logs>/measure_truth/seed{seed}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("measure_truth", gpu=GPU, mem_mb=2000, runtime=30),
        params:
            **job("measure_truth", "training"),
        message:
            "Planted direction from careless to careful authors, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --model $(dirname {input} | uniq)" " --output {output}"

    rule intervene:
        input:
            **EDITING,
        output:
            table=at.intervention("{procedure}", "{seed}"),
            controls=at.controls("{procedure}", "{seed}"),
        log:
            "<logs>/intervene/{procedure}_seed{seed}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("intervene", gpu=0, mem_mb=2000, runtime=60),
        params:
            **job("intervene", "training"),
        message:
            "Edits by {wildcards.procedure} and matched random sets, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
            " --set {input.chosen} --completions {input.completions} --models $(dirname {input.models} | uniq)"
            " --tasks {input.tasks} --output {output.table} --controls {output.controls}"

    rule steer:
        input:
            truth=rules.measure_truth.output,
            completions=at.completions(study.roles.target, "{seed}"),
            models=[path for state in slices.steered_states(study) for path in at.checkpoint(state, "{seed}")],
            tasks=at.samples(slices.edited_tasks(study)),
        output:
            at.steering("{seed}"),
        log:
            "<logs>/steer/seed{seed}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("steer", gpu=0, mem_mb=2000, runtime=60),
        params:
            **job("steer", "training"),
        message:
            "Steering with the planted direction, mean shifts and random directions, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --truth {input.truth} --completions {input.completions}"
            " --models $(dirname {input.models} | uniq)"
            " --tasks {input.tasks} --output {output}"

    rule measure_recovery:
        input:
            truth=rules.measure_truth.output,
            dictionaries=[at.of_procedure(name, "{seed}")[0] for name in OWN],
            beside=[p for name in OWN for p in at.of_procedure(name, "{seed}", "features.parquet")[1:]],
            sets=expand(rules.score_features.output.chosen, procedure=OWN, allow_missing=True),
            completions=[at.completions_of(name, "{seed}") for name in OWN],
        output:
            "<results>/interventions/recovery/seed{seed}.csv",
        log:
            "<logs>/measure_recovery/seed{seed}.log",
        conda:
            "../envs/dictionaries.yaml"
        threads: study.threads
        resources:
            **asks("measure_recovery", gpu=0, mem_mb=2000, runtime=30),
        params:
            **job("measure_recovery", "dictionaries"),
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
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            **asks("summarise_seeds", gpu=0, mem_mb=1000, runtime=10),
        params:
            **job("summarise_seeds", "analysis"),
        message:
            "Recovery of the planted truth in all seeds"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --tables {input} --output {output}"

    if aims(study):

        rule export_edit:
            input:
                **EDITING | {"models": lambda w: exchanged_checkpoints(w.procedure, w.seed)},
                edited=at.intervention("{procedure}", "{seed}"),
            output:
                at.fixed_edit("{procedure}", "{set}", "{seed}"),
            log:
                "<logs>/export_edit/{procedure}_{set}_seed{seed}.log",
            conda:
                "../envs/training.yaml"
            threads: study.threads
            resources:
                **asks("export_edit", gpu=0, mem_mb=2000, runtime=30),
            params:
                **job("export_edit", "training"),
            message:
                "The edit of {wildcards.procedure} by {wildcards.set} on its own, seed {wildcards.seed}"
            shell:
                "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
                " --set {input.chosen} --completions {input.completions} --models $(dirname {input.models} | uniq)"
                " --tasks {input.tasks} --edited {input.edited} --output {output}"

else:

    rule intervene_benchmarks:
        input:
            **EDITING,
            docs=at.docs(slices.edited_tasks(study)),
        output:
            table=at.intervention("{procedure}", "{seed}"),
            controls=at.controls("{procedure}", "{seed}"),
        log:
            "<logs>/intervene_benchmarks/{procedure}_seed{seed}.log",
        conda:
            "../envs/benchmarks.yaml"
        threads: study.threads
        resources:
            **asks("intervene_benchmarks", gpu=GPU, mem_mb=2000, runtime=60),
        params:
            **job("intervene_benchmarks", "benchmarks"),
        message:
            "Edits by {wildcards.procedure} and matched random sets, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
            " --set {input.chosen} --completions {input.completions} --models $(dirname {input.models} | uniq)"
            " --tasks {input.tasks} --docs {input.docs} --output {output.table} --controls {output.controls}"

    rule export_edit_benchmarks:
        input:
            **EDITING
            | {
                "models": lambda w: exchanged_checkpoints(w.procedure, w.seed),
                "tasks": at.samples(slices.choosing_tasks(study)),
            },
            docs=at.docs(slices.choosing_tasks(study)),
            edited=at.intervention("{procedure}", "{seed}"),
        output:
            at.fixed_edit("{procedure}", "{set}", "{seed}"),
        log:
            "<logs>/export_edit_benchmarks/{procedure}_{set}_seed{seed}.log",
        conda:
            "../envs/benchmarks.yaml"
        threads: study.threads
        resources:
            **asks("export_edit_benchmarks", gpu=GPU, mem_mb=2000, runtime=60),
        params:
            **job("export_edit_benchmarks", "benchmarks"),
        message:
            "The edit of {wildcards.procedure} by {wildcards.set} on its own, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
            " --set {input.chosen} --completions {input.completions} --models $(dirname {input.models} | uniq)"
            " --tasks {input.tasks} --docs {input.docs} --edited {input.edited} --output {output}"

    rule steer_benchmarks:
        input:
            completions=at.completions(study.roles.target, "{seed}"),
            models=[path for state in slices.steered_states(study) for path in at.checkpoint(state, "{seed}")],
            tasks=at.samples(slices.edited_tasks(study)),
            docs=at.docs(slices.edited_tasks(study)),
            behaviour=lambda w: [path for s in slices.steered_states(study) for path in at.behaviour_of(s, w.seed)],
        output:
            table=at.steering("{seed}"),
            agreement="<results>/interventions/steering/agreement_seed{seed}.csv",
        log:
            "<logs>/steer_benchmarks/seed{seed}.log",
        conda:
            "../envs/benchmarks.yaml"
        threads: study.threads
        resources:
            **asks("steer_benchmarks", gpu=GPU, mem_mb=2000, runtime=60),
        params:
            **job("steer_benchmarks", "benchmarks"),
        message:
            "Steering with the planted direction, mean shifts and random directions, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --completions {input.completions}"
            " --models $(dirname {input.models} | uniq)"
            " --tasks {input.tasks} --docs {input.docs} --behaviour {input.behaviour} --output {output.table}"
            " --agreement {output.agreement}"


rule summarise_interventions:
    input:
        interventions=[at.intervention(p, seed) for p in slices.edited_procedures(study) for seed in SEEDS],
        controls=[at.controls(p, seed) for p in slices.edited_procedures(study) for seed in SEEDS],
        steering=[at.steering(seed) for seed in SEEDS],
    output:
        effects="<results>/interventions/effects.csv",
        comparisons="<results>/interventions/comparisons.csv",
        controls="<results>/interventions/controls.csv",
    log:
        "<logs>/summarise_interventions.log",
    conda:
        "../envs/analysis.yaml"
    threads: study.threads
    resources:
        **asks("summarise_interventions", gpu=0, mem_mb=2000, runtime=30),
    params:
        **job("summarise_interventions", "analysis"),
    message:
        "Effects of all edits with intervals"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --interventions {input.interventions}"
        " --controls {input.controls} --steering {input.steering} --effects {output.effects}"
        " --comparisons {output.comparisons} --all-controls {output.controls}"
