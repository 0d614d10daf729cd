# Activations: the token stream, read by every model state row by row.


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
