# Activations: the token stream, read by every model state row by row; and the completions of the tuned models.


# One rule per model, because each has its own states to read.
for model in filter(study.harvested, study.models):

    rule:
        name:
            f"harvest_{model}"
        input:
            stream=STREAM,
            models=[path for state in harvested(model) for path in checkpoint(state, "{seed}")],
        output:
            activations(harvested(model), "{seed}"),
        log:
            f"<logs>/harvest/{model}_seed{{seed}}.log",
        benchmark:
            f"<benchmarks>/harvest/{model}_seed{{seed}}.tsv"
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            gpu=GPU,
            mem_mb=asks("harvest", "mem_mb", 2000),
            runtime=asks("harvest", "runtime", 30),
        params:
            cfg=cfg("harvest", model=model),
            code=code("harvest"),
            packages=packages("training"),
            job=job("harvest", "training", resumable=True),
        message:
            f"Activations of {model} on the token stream, seed {{wildcards.seed}}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --stream {input.stream}"
            " --models $(dirname {input.models} | uniq) --outputs $(dirname {output} | uniq)"


rule harvest_completions:
    input:
        reference=checkpoint(study.roles.reference, "{seed}"),
        tuned=lambda w: checkpoint(w.model, w.seed),
        reference_behaviour=f"<results>/behaviour/{study.roles.reference}/seed{{seed}}/known.parquet",
        tuned_behaviour="<results>/behaviour/{model}/seed{seed}/known.parquet",
        tasks=task_files("samples", study.tasks.groups()["known"]),
    output:
        "<results>/activations/seed{seed}/completions/{model}.safetensors",
    log:
        "<logs>/harvest_completions/{model}_seed{seed}.log",
    benchmark:
        "<benchmarks>/harvest_completions/{model}_seed{seed}.tsv"
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        gpu=GPU,
        mem_mb=asks("harvest_completions", "mem_mb", 2000),
        runtime=asks("harvest_completions", "runtime", 30),
    params:
        cfg=cfg("harvest_completions"),
        code=code("harvest_completions"),
        packages=packages("training"),
        job=job("harvest_completions", "training"),
    message:
        "Activations on the completions of {wildcards.model}, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --reference $(dirname {input.reference} | uniq)"
        " --tuned $(dirname {input.tuned} | uniq) --reference-behaviour {input.reference_behaviour}"
        " --tuned-behaviour {input.tuned_behaviour} --tasks {input.tasks} --output {output}"
