# Activations: the token stream, read by every model state row by row; and two models on one text, position by position.

if study.organism:

    rule build_stream:
        input:
            tokenizer=rules.make_tokenizer.output,
            models=[path for state in study.stream.sampled_models for path in at.checkpoint(state, "{seed}")],
        output:
            at.stream("{seed}"),
        log:
            "<logs>/build_stream/seed{seed}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("build_stream", gpu=GPU, mem_mb=2000, runtime=30),
        params:
            **job("build_stream", "training"),
        message:
            "Token stream of documents and sampled completions, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --tokenizer $(dirname {input.tokenizer} | uniq)"
            " --models $(dirname {input.models} | uniq) --output {output}"

    rule harvest_completions:
        input:
            reference=at.checkpoint(study.roles.reference, "{seed}"),
            tuned=lambda w: at.checkpoint(w.model, w.seed),
            reference_behaviour=at.behaviour(study.roles.reference, "{seed}", "known"),
            tuned_behaviour=at.behaviour("{model}", "{seed}", "known"),
            tasks=at.samples(study.tasks.groups()["known"]),
        output:
            at.completions("{model}", "{seed}"),
        log:
            "<logs>/harvest_completions/{model}_seed{seed}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("harvest_completions", gpu=GPU, mem_mb=2000, runtime=30),
        params:
            **job("harvest_completions", "training"),
        message:
            "Activations on the completions of {wildcards.model}, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --reference $(dirname {input.reference} | uniq)"
            " --tuned $(dirname {input.tuned} | uniq) --reference-behaviour {input.reference_behaviour}"
            " --tuned-behaviour {input.tuned_behaviour} --tasks {input.tasks} --output {output}"

else:

    rule build_mixed_stream:
        input:
            sources=at.source_texts(),
            reference=at.checkpoint(study.roles.reference, "{seed}"),
        output:
            at.stream("{seed}"),
        log:
            "<logs>/build_mixed_stream/seed{seed}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("build_mixed_stream", gpu=GPU, mem_mb=2000, runtime=30),
        params:
            **job("build_mixed_stream", "training", part=0),
        message:
            "Token stream of the sources, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --sources {input.sources}"
            " --reference $(dirname {input.reference} | uniq) --output {output}"

    rule harvest_benchmark_completions:
        input:
            reference=at.checkpoint(study.roles.reference, "{seed}"),
            tuned=lambda w: at.checkpoint(w.model, w.seed),
            reference_behaviour=at.behaviour(study.roles.reference, "{seed}", "known"),
            tuned_behaviour=at.behaviour("{model}", "{seed}", "known"),
            tasks=at.samples(study.tasks.groups()["known"]),
        output:
            at.completions("{model}", "{seed}"),
        log:
            "<logs>/harvest_benchmark_completions/{model}_seed{seed}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("harvest_benchmark_completions", gpu=GPU, mem_mb=2000, runtime=30),
        params:
            **job("harvest_benchmark_completions", "training"),
        message:
            "Activations on the completions of {wildcards.model}, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --reference $(dirname {input.reference} | uniq)"
            " --tuned $(dirname {input.tuned} | uniq) --reference-behaviour {input.reference_behaviour}"
            " --tuned-behaviour {input.tuned_behaviour} --tasks {input.tasks} --output {output}"


# One rule per model, because each has its own states to read.
for model in filter(study.harvested, study.models):

    rule:
        name:
            f"harvest_{model}"
        input:
            stream=at.stream("{seed}"),
            models=[path for state in at.harvested(model) for path in at.checkpoint(state, "{seed}")],
        output:
            at.activations(at.harvested(model), "{seed}"),
        log:
            f"<logs>/harvest/{model}_seed{{seed}}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("harvest", gpu=GPU, mem_mb=2000, runtime=30),
        params:
            **job("harvest", "training", model=model, resumable=True),
        message:
            f"Activations of {model} on the token stream, seed {{wildcards.seed}}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --stream {input.stream}"
            " --models $(dirname {input.models} | uniq) --outputs $(dirname {output} | uniq)"
