# Dictionaries: sparse crosscoders over the activations of several model states, and how good they are.


rule measure_dictionary:
    input:
        dictionary=dictionary_files("{dictionary}", "{recipe}", "{seed}"),
        shards=lambda w: activations(members(w.dictionary), w.seed),
        stream=STREAM,
        models=lambda w: [path for state in members(w.dictionary) for path in checkpoint(state, w.seed)],
    output:
        quality="<results>/dictionaries/{dictionary}/{recipe}/seed{seed}/quality.csv",
        features="<results>/dictionaries/{dictionary}/{recipe}/seed{seed}/features.parquet",
        contexts="<results>/dictionaries/{dictionary}/{recipe}/seed{seed}/contexts.parquet",
    log:
        "<logs>/measure_dictionary/{dictionary}_{recipe}_seed{seed}.log",
    benchmark:
        "<benchmarks>/measure_dictionary/{dictionary}_{recipe}_seed{seed}.tsv"
    conda:
        "../envs/dictionaries.yaml"
    threads: study.threads
    resources:
        gpu=GPU,
        mem_mb=asks("measure_dictionary", "mem_mb", 2000),
        runtime=asks("measure_dictionary", "runtime", 30),
    params:
        cfg=cfg("measure_dictionary"),
        code=code("measure_dictionary"),
        packages=packages("dictionaries"),
        job=job("measure_dictionary", "dictionaries"),
    message:
        "Quality and features of {wildcards.dictionary}, {wildcards.recipe}, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --dictionary $(dirname {input.dictionary} | uniq)"
        " --shards $(dirname {input.shards} | uniq) --models $(dirname {input.models} | uniq) --stream {input.stream}"
        " --quality {output.quality} --features {output.features} --contexts {output.contexts}"


rule summarise_dictionary:
    input:
        quality=lambda w: of_dictionary(w.dictionary, "quality.csv"),
        features=lambda w: of_dictionary(w.dictionary, "features.parquet"),
    output:
        quality="<results>/dictionaries/{dictionary}/quality.csv",
        features="<results>/dictionaries/{dictionary}/features.parquet",
    log:
        "<logs>/summarise_dictionary/{dictionary}.log",
    benchmark:
        "<benchmarks>/summarise_dictionary/{dictionary}.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=asks("summarise_dictionary", "mem_mb", 1000),
        runtime=asks("summarise_dictionary", "runtime", 10),
    params:
        cfg=cfg("summarise_dictionary"),
        code=code("summarise_dictionary"),
        packages=packages("analysis"),
        job=job("summarise_dictionary", "analysis"),
    message:
        "Quality and features of {wildcards.dictionary} in one table each"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --quality {input.quality}"
        " --features {input.features} --all-quality {output.quality} --all-features {output.features}"
