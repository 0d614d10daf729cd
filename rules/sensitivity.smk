# Sensitivity: what every variant of the main procedure finds and does, against the main one. Variants are procedures of
# their own (scripts/rlgen/study/variants.py), so that the rules before this one make everything else.


rule measure_sensitivity:
    input:
        dictionary=lambda w: at.of_procedure(w.procedure, w.seed, "features.parquet"),
        quality=lambda w: at.measured_of(w.procedure, w.seed, "quality.csv"),
        main_dictionary=lambda w: at.of_procedure(study.variants.procedure, w.seed, "features.parquet"),
        chosen=rules.score_features.output.chosen,
        main_chosen=expand(rules.score_features.output.chosen, procedure=study.variants.procedure, allow_missing=True),
        completions=at.completions_of(study.variants.procedure, "{seed}"),
        edited=at.intervention("{procedure}", "{seed}"),
        main_edited=at.intervention(study.variants.procedure, "{seed}"),
        controls=at.controls("{procedure}", "{seed}"),
        main_controls=at.controls(study.variants.procedure, "{seed}"),
        steering=at.steering("{seed}"),
    output:
        at.sensitivity("{procedure}", "{seed}"),
    log:
        "<logs>/measure_sensitivity/{procedure}_seed{seed}.log",
    wildcard_constraints:
        procedure="|".join(map(re.escape, study.compared_procedures())),
    conda:
        "../envs/dictionaries.yaml"
    threads: study.threads
    resources:
        **asks("measure_sensitivity", gpu=0, mem_mb=2000, runtime=30),
    params:
        **job("measure_sensitivity", "dictionaries"),
    message:
        "Variant {wildcards.procedure} against {study.variants.procedure}, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
        " --main-dictionary $(dirname {input.main_dictionary} | uniq) --quality {input.quality} --set {input.chosen}"
        " --main-set {input.main_chosen} --completions {input.completions} --edited {input.edited}"
        " --main-edited {input.main_edited} --controls {input.controls} --main-controls {input.main_controls}"
        " --steering {input.steering} --output {output}"


for sibling in study.siblings():
    if not Path(f"results/{sibling['study']}/sensitivity/sensitivity.csv").exists():
        where = f"variants.siblings.{sibling['factor']}.{sibling['name']}"
        logger.warning(
            f"{where}: first run snakemake results/{sibling['study']}/sensitivity/sensitivity.csv of that study"
        )


rule summarise_sensitivity:
    input:
        tables=[at.sensitivity(name, seed) for name in study.compared_procedures() for seed in SEEDS],
        siblings=[f"results/{sibling['study']}/sensitivity/sensitivity.csv" for sibling in study.siblings()],
    output:
        "<results>/sensitivity/sensitivity.csv",
    log:
        "<logs>/summarise_sensitivity.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        **asks("summarise_sensitivity", gpu=0, mem_mb=1000, runtime=10),
    params:
        **job("summarise_sensitivity", "analysis"),
        siblings=lambda w, input: f"--siblings {' '.join(input.siblings)}" if input.siblings else "",
    message:
        "All variants and seeds in one table"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --tables {input.tables} {params.siblings} --output {output}"


MAIN = study.variants.procedure

if study.asks("equivalence"):

    rule measure_equivalence:
        input:
            dictionary=at.of_procedure(MAIN, "{seed}", "features.parquet"),
            completions=at.completions_of(MAIN, "{seed}"),
            models=[path for state in slices.equivalent_models(study) for path in at.checkpoint(state, "{seed}")],
            tasks=at.samples(slices.edited_tasks(study)),
        output:
            at.sensitivity("equivalence", "{seed}"),
        log:
            "<logs>/measure_equivalence/seed{seed}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("measure_equivalence", gpu=0, mem_mb=2000, runtime=30),
        params:
            **job("measure_equivalence", "training"),
        message:
            "Shared latents ablated in both models, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
            " --completions {input.completions} --models $(dirname {input.models} | uniq) --tasks {input.tasks}"
            " --output {output}"


if study.asks("maps"):

    rule measure_maps:
        input:
            shards=at.activations(slices.mapped_states(study), "{seed}"),
            dictionary=at.of_procedure(MAIN, "{seed}", "features.parquet"),
            chosen=expand(rules.score_features.output.chosen, procedure=MAIN, allow_missing=True),
            completions=at.completions_of(MAIN, "{seed}"),
            models=[path for state in slices.equivalent_models(study) for path in at.checkpoint(state, "{seed}")],
            tasks=at.samples(slices.edited_tasks(study)),
        output:
            at.sensitivity("maps", "{seed}"),
        log:
            "<logs>/measure_maps/seed{seed}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("measure_maps", gpu=0, mem_mb=4000, runtime=60),
        params:
            **job("measure_maps", "training"),
        message:
            "Maps of the stream without a dictionary, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --shards $(dirname {input.shards} | uniq)"
            " --dictionary $(dirname {input.dictionary} | uniq) --set {input.chosen}"
            " --completions {input.completions} --models $(dirname {input.models} | uniq) --tasks {input.tasks}"
            " --output {output}"
