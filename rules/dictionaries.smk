# Dictionaries: sparse crosscoders over the activations of several model states, and how good they are.

# Trained on shards that are kept; rules/windows.smk trains through windows that come and go.
if study.stream.windows == 1:

    rule train_dictionary:
        input:
            lambda w: at.activations(at.members(w.dictionary), w.seed),
        output:
            at.dictionary("{dictionary}", "{recipe}", "{seed}"),
            curves="<results>/dictionaries/{dictionary}/{recipe}/seed{seed}/curves.csv",
        log:
            "<logs>/train_dictionary/{dictionary}_{recipe}_seed{seed}.log",
        conda:
            "../envs/dictionaries.yaml"
        threads: study.threads
        resources:
            **asks("train_dictionary", gpu=GPU, mem_mb=2000, runtime=30),
        params:
            **job("train_dictionary", "dictionaries", resumable=True),
        message:
            "Dictionary {wildcards.dictionary}, {wildcards.recipe}, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --shards $(dirname {input} | uniq)"
            " --output $(dirname {output.curves})"


rule measure_dictionary:
    input:
        dictionary=at.dictionary("{dictionary}", "{recipe}", "{seed}"),
        shards=lambda w: at.activations(at.members(w.dictionary), w.seed),
        stream=at.stream("{seed}"),
        models=lambda w: [path for state in at.members(w.dictionary) for path in at.checkpoint(state, w.seed)],
    output:
        quality="<results>/dictionaries/{dictionary}/{recipe}/seed{seed}/quality.csv",
        features="<results>/dictionaries/{dictionary}/{recipe}/seed{seed}/features.parquet",
        contexts="<results>/dictionaries/{dictionary}/{recipe}/seed{seed}/contexts.parquet",
    log:
        "<logs>/measure_dictionary/{dictionary}_{recipe}_seed{seed}.log",
    conda:
        "../envs/dictionaries.yaml"
    threads: study.threads
    resources:
        **asks("measure_dictionary", gpu=GPU, mem_mb=2000, runtime=30),
    params:
        **job("measure_dictionary", "dictionaries"),
    message:
        "Quality and features of {wildcards.dictionary}, {wildcards.recipe}, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
        " --shards $(dirname {input.shards} | uniq) --models $(dirname {input.models} | uniq) --stream {input.stream}"
        " --quality {output.quality} --features {output.features} --contexts {output.contexts}"


rule map_members:
    input:
        shards=lambda w: at.activations(at.members(w.dictionary), w.seed),
    output:
        f"<results>/dictionaries/{{dictionary}}/{{recipe}}/seed{{seed}}/{MAPS}",
    log:
        "<logs>/map_members/{dictionary}_{recipe}_seed{seed}.log",
    conda:
        "../envs/dictionaries.yaml"
    threads: study.threads
    resources:
        **asks("map_members", gpu=GPU, mem_mb=2000, runtime=30),
    params:
        **job("map_members", "dictionaries"),
    message:
        "Maps between the members of {wildcards.dictionary}, {wildcards.recipe}, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --shards $(dirname {input.shards} | uniq) --output {output}"


rule summarise_dictionary:
    input:
        quality=lambda w: at.of_dictionary(w.dictionary, "quality.csv"),
        features=lambda w: at.of_dictionary(w.dictionary, "features.parquet"),
    output:
        quality="<results>/dictionaries/{dictionary}/quality.csv",
        features="<results>/dictionaries/{dictionary}/features.parquet",
    log:
        "<logs>/summarise_dictionary/{dictionary}.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        **asks("summarise_dictionary", gpu=0, mem_mb=1000, runtime=10),
    params:
        **job("summarise_dictionary", "analysis"),
    message:
        "Quality and features of {wildcards.dictionary} in one table each"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --quality {input.quality}"
        " --features {input.features} --all-quality {output.quality} --all-features {output.features}"
