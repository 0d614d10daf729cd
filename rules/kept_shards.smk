# Dictionaries trained on shards that are kept.


rule train_dictionary:
    input:
        lambda w: activations(members(w.dictionary), w.seed),
    output:
        dictionary_files("{dictionary}", "{recipe}", "{seed}"),
        curves="<results>/dictionaries/{dictionary}/{recipe}/seed{seed}/curves.csv",
    log:
        "<logs>/train_dictionary/{dictionary}_{recipe}_seed{seed}.log",
    benchmark:
        "<benchmarks>/train_dictionary/{dictionary}_{recipe}_seed{seed}.tsv"
    conda:
        "../envs/dictionaries.yaml"
    threads: study.threads
    resources:
        gpu=GPU,
        mem_mb=asks("train_dictionary", "mem_mb", 2000),
        runtime=asks("train_dictionary", "runtime", 30),
    params:
        cfg=cfg("train_dictionary"),
        code=code("train_dictionary"),
        packages=packages("dictionaries"),
        job=job("train_dictionary", "dictionaries", resumable=True),
    message:
        "Dictionary {wildcards.dictionary}, {wildcards.recipe}, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --shards $(dirname {input} | uniq)"
        " --output $(dirname {output.curves})"
