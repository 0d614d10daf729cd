# Pages of every latent: what they show beyond the study's tables, and the pages themselves (results/<study>/site).

INSPECTED = "<results>/dictionaries/{dictionary}/{recipe}/seed{seed}/inspection"
INSPECTIONS = [f"inspection/{name}.parquet" for name in ("passages", "density", "neighbours", "lens")]


rule inspect_latents:
    input:
        dictionary=at.dictionary("{dictionary}", "{recipe}", "{seed}"),
        shards=lambda w: at.activations(at.members(w.dictionary), w.seed),
        stream=at.stream("{seed}"),
        course=lambda w: at.course_beside(w.dictionary, w.seed),
        models=lambda w: [path for state in at.members(w.dictionary) for path in at.checkpoint(state, w.seed)],
    output:
        passages=f"{INSPECTED}/passages.parquet",
        density=f"{INSPECTED}/density.parquet",
        neighbours=f"{INSPECTED}/neighbours.parquet",
        lens=f"{INSPECTED}/lens.parquet",
    log:
        "<logs>/inspect_latents/{dictionary}_{recipe}_seed{seed}.log",
    conda:
        "../envs/dictionaries.yaml"
    threads: study.threads
    resources:
        **asks("inspect_latents", gpu=GPU, mem_mb=2000, runtime=30),
    params:
        **job("inspect_latents", "dictionaries"),
        course=lambda w, input: f"--course {os.path.dirname(input.course[0])}" if input.course else "",
    message:
        "Latents of {wildcards.dictionary}, {wildcards.recipe}, seed {wildcards.seed}, for their pages"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
        " --shards $(dirname {input.shards} | uniq) --models $(dirname {input.models} | uniq) --stream {input.stream}"
        " {params.course} --passages {output.passages} --density {output.density} --neighbours {output.neighbours} --lens {output.lens}"


if study.organism:

    rule edit_alone:
        input:
            **EDITING,
            interventions=at.intervention("{procedure}", "{seed}"),
        output:
            alone=at.edited_alone("{procedure}", "{seed}"),
            texts=at.edited_texts("{procedure}", "{seed}"),
        log:
            "<logs>/edit_alone/{procedure}_seed{seed}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("edit_alone", gpu=0, mem_mb=2000, runtime=60),
        params:
            **job("edit_alone", "training"),
        message:
            "Each latent of the set by {wildcards.procedure} alone, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
            " --set {input.chosen} --completions {input.completions} --models $(dirname {input.models} | uniq)"
            " --tasks {input.tasks} --interventions {input.interventions}"
            " --alone {output.alone} --texts {output.texts}"

else:

    rule edit_alone_benchmarks:
        input:
            **EDITING,
            docs=at.docs(slices.edited_tasks(study)),
            interventions=at.intervention("{procedure}", "{seed}"),
        output:
            alone=at.edited_alone("{procedure}", "{seed}"),
            texts=at.edited_texts("{procedure}", "{seed}"),
        log:
            "<logs>/edit_alone_benchmarks/{procedure}_seed{seed}.log",
        conda:
            "../envs/benchmarks.yaml"
        threads: study.threads
        resources:
            **asks("edit_alone_benchmarks", gpu=GPU, mem_mb=2000, runtime=60),
        params:
            **job("edit_alone_benchmarks", "benchmarks"),
        message:
            "Each latent of the set by {wildcards.procedure} alone, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
            " --set {input.chosen} --completions {input.completions} --models $(dirname {input.models} | uniq)"
            " --tasks {input.tasks} --docs {input.docs} --interventions {input.interventions}"
            " --alone {output.alone} --texts {output.texts}"


rule build_site:
    input:
        features=[path for name in study.dictionaries for path in at.of_dictionary(name, "features.parquet")],
        inspected=[path for name in study.dictionaries for path in at.of_dictionary(name, *INSPECTIONS)],
        scores=rules.summarise_mediation.output.scores if study.procedures else [],
        sets=rules.summarise_mediation.output.sets if study.procedures else [],
        joint=[path for name in study.own_procedures() for seed in SEEDS for path in at.joint(name, seed)],
        effects=EDITED["effects"] if slices.edited_procedures(study) else [],
        comparisons=EDITED["comparisons"] if slices.edited_procedures(study) else [],
        alone=[at.edited_alone(name, seed) for name in slices.edited_procedures(study) for seed in SEEDS],
        texts=[at.edited_texts(name, seed) for name in slices.edited_procedures(study) for seed in SEEDS],
        claims=rules.judge_claims.output.table if study.claims else [],
    output:
        report(
            directory("<results>/site"),
            htmlindex="index.html",
            caption="../report/site.rst",
            category="4 Every latent",
            labels={"page": "site", "shows": "Every latent, set and procedure"},
        ),
    log:
        "<logs>/build_site.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        **asks("build_site", gpu=0, mem_mb=2000, runtime=30),
    params:
        **job("build_site", "analysis"),
        folders=lambda w, input: " ".join(os.path.dirname(path) for path in input.features),
    message:
        f"Pages of study {study.study}: every latent, set and procedure"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionaries {params.folders} --scores {input.scores}"
        " --sets {input.sets} --joint {input.joint} --effects {input.effects} --comparisons {input.comparisons}"
        " --alone {input.alone} --texts {input.texts} --claims {input.claims} --output {output}"


# A dictionary as Neuronpedia imports it. Nothing asks for it but its own target, `neuronpedia`.
rule export_neuronpedia:
    input:
        features="<results>/dictionaries/{dictionary}/{recipe}/seed{seed}/features.parquet",
        inspected=rules.inspect_latents.output,
    output:
        directory("<results>/neuronpedia/{dictionary}/{recipe}/seed{seed}"),
    log:
        "<logs>/export_neuronpedia/{dictionary}_{recipe}_seed{seed}.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        **asks("export_neuronpedia", gpu=0, mem_mb=2000, runtime=30),
    params:
        **job("export_neuronpedia", "analysis"),
    message:
        "{wildcards.dictionary}, {wildcards.recipe}, seed {wildcards.seed} for Neuronpedia"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.features}) --output {output}"
