# What `snakemake extended` adds: curves over the number of features and rotation of the tasks' roles, for one procedure.

VARIED = study.extended.procedure
VARIED_INPUTS = {
    "dictionary": at.of_procedure(VARIED, "{seed}", "features.parquet"),
    "scores": expand(rules.score_features.output.scores, procedure=VARIED, allow_missing=True),
    "chosen": expand(rules.score_features.output.chosen, procedure=VARIED, allow_missing=True),
    "attribution": [path for tasks in study.tasks.groups() for path in at.attribution(VARIED, "{seed}", tasks)],
    "joint": at.joint(VARIED, "{seed}"),
    "models": [path for state in slices.varied_models(study) for path in at.checkpoint(state, "{seed}")],
    "tasks": at.samples(slices.edited_tasks(study)),
}

if study.organism:

    rule vary_sets:
        input:
            **VARIED_INPUTS,
        output:
            at.varied("{seed}"),
        log:
            "<logs>/vary_sets/seed{seed}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("vary_sets", gpu=0, mem_mb=2000, runtime=60),
        params:
            **job("vary_sets", "training"),
            joint=lambda w, input: f"--joint {input.joint}" if input.joint else "",
        message:
            "Sets of every size, score and choice of tasks, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
            " --scores {input.scores} --set {input.chosen} --attribution {input.attribution} {params.joint}"
            " --models $(dirname {input.models} | uniq) --tasks {input.tasks} --output {output}"

else:

    rule vary_sets_benchmarks:
        input:
            **VARIED_INPUTS,
            docs=at.docs(slices.edited_tasks(study)),
        output:
            at.varied("{seed}"),
        log:
            "<logs>/vary_sets_benchmarks/seed{seed}.log",
        conda:
            "../envs/benchmarks.yaml"
        threads: study.threads
        resources:
            **asks("vary_sets_benchmarks", gpu=GPU, mem_mb=2000, runtime=60),
        params:
            **job("vary_sets_benchmarks", "benchmarks"),
            joint=lambda w, input: f"--joint {input.joint}" if input.joint else "",
        message:
            "Sets of every size, score and choice of tasks, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
            " --scores {input.scores} --set {input.chosen} --attribution {input.attribution} {params.joint}"
            " --models $(dirname {input.models} | uniq) --tasks {input.tasks} --docs {input.docs} --output {output}"


rule summarise_varied:
    input:
        varied=[at.varied(seed) for seed in SEEDS],
        steering=[at.steering(seed) for seed in SEEDS],
    output:
        curves="<results>/extended/curves.csv",
        areas="<results>/extended/areas.csv",
        rotation="<results>/extended/rotation.csv",
    log:
        "<logs>/summarise_varied.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        **asks("summarise_varied", gpu=0, mem_mb=1000, runtime=10),
    params:
        **job("summarise_varied", "analysis"),
    message:
        "Effects of sets of every size, score and choice of tasks"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --varied {input.varied} --steering {input.steering}"
        " --curves {output.curves} --areas {output.areas} --rotation {output.rotation}"
