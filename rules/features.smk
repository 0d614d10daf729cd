# Features: how the tuned-specific ones come and go in training, and which carry the change on critical samples.


rule measure_dynamics:
    input:
        courses=[path for name in study.courses().values() for path in at.of_dynamics(name, "{seed}")],
        joint=at.of_dynamics(study.joint(), "{seed}") if study.joint() else [],
        shards=at.activations(slices.course_states(study), "{seed}"),
    output:
        "<results>/features/dynamics/seed{seed}.csv",
    log:
        "<logs>/measure_dynamics/seed{seed}.log",
    conda:
        "../envs/dictionaries.yaml"
    threads: study.threads
    resources:
        **asks("measure_dynamics", gpu=GPU, mem_mb=2000, runtime=30),
    params:
        **job("measure_dynamics", "dictionaries"),
    message:
        "Tuned-specific features over training, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --courses $(dirname {input.courses} | uniq)"
        " --joint $(dirname {input.joint} | uniq) --shards $(dirname {input.shards} | uniq)"
        " --output {output}"


rule summarise_dynamics:
    input:
        expand(rules.measure_dynamics.output, seed=SEEDS),
    output:
        "<results>/features/dynamics.csv",
    log:
        "<logs>/summarise_dynamics.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        **asks("summarise_seeds", gpu=0, mem_mb=1000, runtime=10),
    params:
        **job("summarise_seeds", "analysis"),
    message:
        "Dynamics of all seeds in one table"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --tables {input} --output {output}"


rule attribute_features:
    input:
        dictionary=lambda w: at.of_procedure(w.procedure, w.seed, "features.parquet"),
        reference=at.checkpoint(study.roles.reference, "{seed}"),
        tuned=lambda w: at.tuned_of(w.procedure, w.seed),
        reference_behaviour=at.behaviour(study.roles.reference, "{seed}", "{tasks}"),
        tuned_behaviour=lambda w: at.tuned_behaviour(w.procedure, w.seed, w.tasks),
        tasks=lambda w: at.samples(study.tasks.groups()[w.tasks]),
    output:
        scores="<results>/features/mediation/{procedure}/seed{seed}/attribution/{tasks}.parquet",
        paths="<results>/features/mediation/{procedure}/seed{seed}/attribution/{tasks}.csv",
    log:
        "<logs>/attribute_features/{procedure}_seed{seed}_{tasks}.log",
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        **asks("attribute_features", gpu=GPU, mem_mb=2000, runtime=60),
    params:
        **job("attribute_features", "training"),
    message:
        "Attributions by {wildcards.procedure} on {wildcards.tasks} tasks, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
        " --reference $(dirname {input.reference} | uniq) --tuned $(dirname {input.tuned} | uniq)"
        " --reference-behaviour {input.reference_behaviour} --tuned-behaviour {input.tuned_behaviour}"
        " --tasks {input.tasks} --scores {output.scores} --paths {output.paths}"


rule choose_together:
    input:
        dictionary=lambda w: at.of_procedure(w.procedure, w.seed, "features.parquet"),
        reference=at.checkpoint(study.roles.reference, "{seed}"),
        tuned=lambda w: at.tuned_of(w.procedure, w.seed),
        reference_behaviour=at.behaviour(study.roles.reference, "{seed}", "known"),
        tuned_behaviour=lambda w: at.tuned_behaviour(w.procedure, w.seed, "known"),
        tasks=at.samples(study.tasks.groups()["known"]),
    output:
        "<results>/features/mediation/{procedure}/seed{seed}/together.parquet",
    log:
        "<logs>/choose_together/{procedure}_seed{seed}.log",
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        **asks("choose_together", gpu=GPU, mem_mb=2000, runtime=120),
    params:
        **job("choose_together", "training"),
    message:
        "Latents ranked together by {wildcards.procedure}, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
        " --reference $(dirname {input.reference} | uniq) --tuned $(dirname {input.tuned} | uniq)"
        " --reference-behaviour {input.reference_behaviour} --tuned-behaviour {input.tuned_behaviour}"
        " --tasks {input.tasks} --output {output}"


rule score_features:
    input:
        dictionary=lambda w: at.of_procedure(w.procedure, w.seed, "features.parquet"),
        completions=lambda w: at.completions_of(w.procedure, w.seed),
        attribution=lambda w: at.attribution(w.procedure, w.seed),
        joint=lambda w: at.joint(w.procedure, w.seed),
    output:
        scores="<results>/features/mediation/{procedure}/seed{seed}/scores.parquet",
        chosen=at.chosen("{procedure}", "{seed}"),
        overlap="<results>/features/mediation/{procedure}/seed{seed}/overlap.csv",
    log:
        "<logs>/score_features/{procedure}_seed{seed}.log",
    conda:
        "../envs/dictionaries.yaml"
    threads: study.threads
    resources:
        **asks("score_features", gpu=0, mem_mb=2000, runtime=30),
    params:
        **job("score_features", "dictionaries"),
        by_cause=lambda w, input: " ".join(
            f"--{name} {input[name]}" for name in ("attribution", "joint") if input[name]
        ),
    message:
        "Mediating features by {wildcards.procedure}, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
        " --completions {input.completions} {params.by_cause} --scores {output.scores} --set {output.chosen}"
        " --overlap {output.overlap}"


rule summarise_mediation:
    input:
        scores=at.of_mediation("scores.parquet"),
        sets=at.of_mediation("set.json"),
        overlap=at.of_mediation("overlap.csv"),
    output:
        scores="<results>/features/mediation/scores.parquet",
        sets="<results>/features/mediation/sets.csv",
        overlap="<results>/features/mediation/overlap.csv",
    log:
        "<logs>/summarise_mediation.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        **asks("summarise_mediation", gpu=0, mem_mb=1000, runtime=10),
    params:
        **job("summarise_mediation", "analysis"),
    message:
        "Mediating features of all procedures in one table each"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --scores {input.scores} --sets {input.sets}"
        " --overlap {input.overlap} --all-scores {output.scores} --all-sets {output.sets}"
        " --all-overlap {output.overlap}"
