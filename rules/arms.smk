# Arms: models trained from one parent in other ways, how far each has moved, and who generalizes.


rule measure_arm:
    input:
        reference=at.checkpoint(study.roles.reference, "{seed}"),
        checkpoints=lambda w: at.checkpoints(w.model, w.seed),
        tasks=at.samples([*study.tasks.in_domain, *study.tasks.selection]),
        dictionary=at.of_procedure(WATCHED, "{seed}") if WATCHED else [],
    output:
        at.drift("{model}", "{seed}"),
    log:
        "<logs>/measure_arm/{model}_seed{seed}.log",
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        **asks("measure_arm", gpu=GPU, mem_mb=2000, runtime=60),
    params:
        **job("measure_arm", "training"),
        dictionary=lambda w, input: "--dictionary $(dirname {} | uniq)".format(input.dictionary) if WATCHED else "",
    message:
        "How far {wildcards.model} has moved, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --reference $(dirname {input.reference} | uniq)"
        " --checkpoints $(dirname {input.checkpoints} | uniq) --tasks {input.tasks} {params.dictionary}"
        " --output {output}"


rule summarise_arms:
    input:
        accuracy=rules.summarise_behaviour.output.accuracy,
        drifts=[at.drift(model, seed) for model, _ in study.arms.listed() for seed in SEEDS],
    output:
        arms="<results>/arms/arms.csv",
        as_far="<results>/arms/as_far.csv",
        explained="<results>/arms/explained.csv",
    log:
        "<logs>/summarise_arms.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        **asks("summarise_arms", gpu=0, mem_mb=1000, runtime=10),
    params:
        **job("summarise_arms", "analysis"),
    message:
        "All arms and seeds beside one another"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --accuracy {input.accuracy} --drifts {input.drifts}"
        " --arms {output.arms} --as-far {output.as_far} --explained {output.explained}"


rule compare_arms:
    input:
        drifts=rules.summarise_arms.input.drifts,
        dictionaries=[
            p for name in study.arms.sets for seed in SEEDS for p in at.of_procedure(name, seed, "features.parquet")
        ],
        sets=[at.chosen(name, seed) for name in study.arms.sets for seed in SEEDS],
        completions=[at.completions_of(name, seed) for name in study.arms.sets for seed in SEEDS],
    output:
        "<results>/arms/shared.csv",
    log:
        "<logs>/compare_arms.log",
    conda:
        "../envs/dictionaries.yaml"
    threads: 1
    resources:
        **asks("compare_arms", gpu=0, mem_mb=2000, runtime=20),
    params:
        **job("compare_arms", "dictionaries"),
        dictionaries=lambda w, input: f"$(dirname {input.dictionaries} | uniq)" if input.dictionaries else "",
    message:
        "Whether arms share what changed in them"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --drifts {input.drifts}"
        " --dictionaries {params.dictionaries} --sets {input.sets} --completions {input.completions} --output {output}"


if WATCHED:

    rule foretell_arms:
        input:
            arms=rules.summarise_arms.output.arms,
            drifts=rules.summarise_arms.input.drifts,
            dictionaries=[p for seed in SEEDS for p in at.of_procedure(WATCHED, seed, "features.parquet")],
            sets=expand(rules.score_features.output.chosen, procedure=WATCHED, seed=SEEDS),
        output:
            readings="<results>/arms/readings.csv",
            foretold="<results>/arms/foretold.csv",
        log:
            "<logs>/foretell_arms.log",
        conda:
            "../envs/dictionaries.yaml"
        threads: 1
        resources:
            **asks("foretell_arms", gpu=0, mem_mb=2000, runtime=20),
        params:
            **job("foretell_arms", "dictionaries"),
        message:
            "Whether a set's reading tells early who will generalize"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --arms {input.arms} --drifts {input.drifts}"
            " --dictionaries $(dirname {input.dictionaries} | uniq) --sets {input.sets}"
            " --readings {output.readings} --foretold {output.foretold}"
