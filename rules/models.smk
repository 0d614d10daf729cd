# The models. One rule per entry of the study's `models`, because each keeps its own number of checkpoints.

for model in study.made_by("pretrain"):

    rule:
        name:
            f"pretrain_{model}"
        input:
            rules.make_tokenizer.output,
        output:
            checkpoints(model, "{seed}"),
            curves=f"<results>/models/{model}/seed{{seed}}/curves.csv",
        log:
            f"<logs>/pretrain/{model}_seed{{seed}}.log",
        benchmark:
            f"<benchmarks>/pretrain/{model}_seed{{seed}}.tsv"
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            gpu=GPU,
            mem_mb=asks("pretrain", "mem_mb", 2000),
            runtime=asks("pretrain", "runtime", 30),
        params:
            cfg=cfg("pretrain", model=model),
            code=code("pretrain"),
            packages=packages("training"),
            job=job("pretrain", "training", resumable=True),
        message:
            f"Pretraining {model} from scratch, seed {{wildcards.seed}}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --tokenizer $(dirname {input} | uniq)"
            " --output $(dirname {output.curves})"


for model in study.made_by("continue_pretraining"):

    rule:
        name:
            f"continue_pretraining_{model}"
        input:
            checkpoint(study.models[model].parent, "{seed}"),
        output:
            checkpoints(model, "{seed}"),
            curves=f"<results>/models/{model}/seed{{seed}}/curves.csv",
        log:
            f"<logs>/continue_pretraining/{model}_seed{{seed}}.log",
        benchmark:
            f"<benchmarks>/continue_pretraining/{model}_seed{{seed}}.tsv"
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            gpu=GPU,
            mem_mb=asks("continue_pretraining", "mem_mb", 2000),
            runtime=asks("continue_pretraining", "runtime", 30),
        params:
            cfg=cfg("continue_pretraining", model=model),
            code=code("continue_pretraining"),
            packages=packages("training"),
            job=job("continue_pretraining", "training", resumable=True),
        message:
            f"Pretraining {model} further, seed {{wildcards.seed}}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --parent $(dirname {input} | uniq)"
            " --output $(dirname {output.curves})"


for model in study.made_by("sft"):

    rule:
        name:
            f"train_sft_{model}"
        input:
            parent=checkpoint(study.models[model].parent, "{seed}"),
            training=TRAINING,
        output:
            checkpoints(model, "{seed}"),
            curves=f"<results>/models/{model}/seed{{seed}}/curves.csv",
        log:
            f"<logs>/train_sft/{model}_seed{{seed}}.log",
        benchmark:
            f"<benchmarks>/train_sft/{model}_seed{{seed}}.tsv"
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            gpu=gpus(model),
            mem_mb=asks("train_sft", "mem_mb", 2000),
            runtime=asks("train_sft", "runtime", 30),
        params:
            cfg=cfg("train_sft", model=model),
            code=code("train_sft"),
            packages=packages("training"),
            job=job("train_sft", "training", resumable=True, processes=gpus(model)),
        message:
            f"Supervised fine-tuning of {model}, seed {{wildcards.seed}}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --parent $(dirname {input.parent} | uniq)"
            " --training {input.training} --output $(dirname {output.curves})"


for model in study.made_by("grpo"):

    rule:
        name:
            f"train_grpo_{model}"
        input:
            parent=checkpoint(study.models[model].parent, "{seed}"),
            training=TRAINING,
        output:
            checkpoints(model, "{seed}"),
            curves=f"<results>/models/{model}/seed{{seed}}/curves.csv",
        log:
            f"<logs>/train_grpo/{model}_seed{{seed}}.log",
        benchmark:
            f"<benchmarks>/train_grpo/{model}_seed{{seed}}.tsv"
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            gpu=gpus(model),
            mem_mb=asks("train_grpo", "mem_mb", 2000),
            runtime=asks("train_grpo", "runtime", 30),
        params:
            cfg=cfg("train_grpo", model=model),
            code=code("train_grpo"),
            packages=packages("training"),
            job=job("train_grpo", "training", resumable=True, processes=gpus(model)),
        message:
            f"Reinforcement learning of {model}, seed {{wildcards.seed}}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --parent $(dirname {input.parent} | uniq)"
            " --training {input.training} --output $(dirname {output.curves})"
