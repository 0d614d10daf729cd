# Behaviour: what the models answer, and the tables made of it.
#
# Tasks that features are chosen on and unseen tasks are evaluated apart, so that another unseen task leaves everything but
# its own evaluation alone.

if study.organism:

    rule evaluate_model:
        input:
            checkpoints=lambda w: at.checkpoints(w.model, w.seed),
            tasks=lambda w: at.samples(study.tasks.groups()[w.tasks]),
        output:
            at.behaviour("{model}", "{seed}", "{tasks}"),
        log:
            "<logs>/evaluate_model/{model}_seed{seed}_{tasks}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("evaluate_model", gpu=GPU, mem_mb=2000, runtime=30),
        params:
            **job("evaluate_model", "training"),
        message:
            "Answers of all checkpoints of {wildcards.model} on {wildcards.tasks} tasks, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --checkpoints $(dirname {input.checkpoints} | uniq)"
            " --tasks {input.tasks} --output {output}"

else:

    rule evaluate_benchmarks:
        input:
            checkpoints=lambda w: at.checkpoints(w.model, w.seed),
            tasks=lambda w: at.samples(study.tasks.groups()[w.tasks]),
            docs=lambda w: at.docs(study.tasks.groups()[w.tasks]),
        output:
            at.behaviour("{model}", "{seed}", "{tasks}"),
        log:
            "<logs>/evaluate_benchmarks/{model}_seed{seed}_{tasks}.log",
        conda:
            "../envs/benchmarks.yaml"
        threads: study.threads
        resources:
            **asks("evaluate_benchmarks", gpu=GPU, mem_mb=2000, runtime=30),
        params:
            **job("evaluate_benchmarks", "benchmarks"),
        message:
            "Answers of all checkpoints of {wildcards.model} on {wildcards.tasks} tasks, seed {wildcards.seed}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --checkpoints $(dirname {input.checkpoints} | uniq)"
            " --tasks {input.tasks} --docs {input.docs} --output {output}"


rule summarise_behaviour:
    input:
        behaviour=[at.behaviour(m, s, tasks) for m in study.models for s in SEEDS for tasks in study.tasks.groups()],
        curves=expand("<results>/models/{model}/seed{seed}/curves.csv", model=study.trained(), seed=SEEDS),
    output:
        accuracy="<results>/behaviour/accuracy.csv",
        curves="<results>/behaviour/curves.csv",
    log:
        "<logs>/summarise_behaviour.log",
    conda:
        "../envs/analysis.yaml"
    threads: study.threads
    resources:
        **asks("summarise_behaviour", gpu=0, mem_mb=1000, runtime=10),
    params:
        **job("summarise_behaviour", "analysis"),
    message:
        "Accuracies of all models with intervals"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --behaviour {input.behaviour}"
        " --curves {input.curves} --accuracy {output.accuracy} --all-curves {output.curves}"
