# The models. One rule per entry of the study's `models`, because each keeps its own number of checkpoints.

if study.organism:

    for model in study.made_by("pretrain"):

        rule:
            name:
                f"pretrain_{model}"
            input:
                rules.make_tokenizer.output,
            output:
                at.checkpoints(model, "{seed}"),
                curves=f"<results>/models/{model}/seed{{seed}}/curves.csv",
            log:
                f"<logs>/pretrain/{model}_seed{{seed}}.log",
            conda:
                "../envs/training.yaml"
            threads: study.threads
            resources:
                **asks("pretrain", gpu=GPU, mem_mb=2000, runtime=30),
            params:
                **job("pretrain", "training", model=model, resumable=True),
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
                at.checkpoint(study.models[model].parent, "{seed}"),
            output:
                at.checkpoints(model, "{seed}"),
                curves=f"<results>/models/{model}/seed{{seed}}/curves.csv",
            log:
                f"<logs>/continue_pretraining/{model}_seed{{seed}}.log",
            conda:
                "../envs/training.yaml"
            threads: study.threads
            resources:
                **asks("continue_pretraining", gpu=GPU, mem_mb=2000, runtime=30),
            params:
                **job("continue_pretraining", "training", model=model, resumable=True),
            message:
                f"Pretraining {model} further, seed {{wildcards.seed}}"
            shell:
                "{params.job} --log {log} -- --cfg {params.cfg:q} --parent $(dirname {input} | uniq)"
                " --output $(dirname {output.curves})"

else:

    for model in study.made_by("load"):

        rule:
            name:
                f"import_model_{model}"
            input:
                # The reference comes first: the others must fit to it.
                at.checkpoint(study.roles.reference, "{seed}") if model != study.roles.reference else [],
            output:
                at.checkpoints(model, "{seed}"),
                source=f"<results>/models/{model}/seed{{seed}}/source.json",
            log:
                f"<logs>/import_model/{model}_seed{{seed}}.log",
            priority: 1
            localrule: True
            conda:
                "../envs/sources.yaml"
            threads: study.threads
            resources:
                **asks("import_model", gpu=0, mem_mb=2000, runtime=60),
            params:
                **job("import_model", "sources", model=model),
                reference=lambda w, input: f"--reference {os.path.dirname(input[0])}" if input else "",
            message:
                f"Model {model}, fetched and checked, seed {{wildcards.seed}}"
            shell:
                "{params.job} --log {log} -- --cfg {params.cfg:q} {params.reference} --output $(dirname {output.source})"

    if study.data.teacher:

        rule import_teacher:
            output:
                at.teacher(),
                source="<results>/models/teacher/source.json",
            log:
                "<logs>/import_teacher.log",
            priority: 1
            localrule: True
            conda:
                "../envs/sources.yaml"
            threads: study.threads
            resources:
                **asks("import_model", gpu=0, mem_mb=2000, runtime=60),
            params:
                **job("import_model", "sources", slice="import_teacher"),
            message:
                "The teacher, fetched and checked"
            shell:
                "{params.job} --log {log} -- --cfg {params.cfg:q} --output $(dirname {output.source})"


for model in study.made_by("sft"):

    rule:
        name:
            f"train_sft_{model}"
        input:
            parent=at.checkpoint(study.models[model].parent, "{seed}"),
            training=at.examples(model, "{seed}"),
            edit=edit_aimed_at(model),
        output:
            at.checkpoints(model, "{seed}"),
            curves=f"<results>/models/{model}/seed{{seed}}/curves.csv",
        log:
            f"<logs>/train_sft/{model}_seed{{seed}}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads * max(1, gpus(model))  # each of its processes computes with that many
        resources:
            **asks("train_sft", gpu=gpus(model), mem_mb=2000, runtime=30),
        params:
            **job("train_sft", "training", model=model, resumable=True, processes=gpus(model)),
            edit=lambda w, input: f"--edit {input.edit}" if input.edit else "",
        message:
            f"Supervised fine-tuning of {model}, seed {{wildcards.seed}}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --parent $(dirname {input.parent} | uniq)"
            " --training {input.training} {params.edit} --output $(dirname {output.curves})"


for model in study.made_by("grpo", "rloo"):

    rule:
        name:
            f"train_grpo_{model}"
        input:
            parent=at.checkpoint(study.models[model].parent, "{seed}"),
            training=at.examples(model, "{seed}"),
        output:
            at.checkpoints(model, "{seed}"),
            curves=f"<results>/models/{model}/seed{{seed}}/curves.csv",
        log:
            f"<logs>/train_grpo/{model}_seed{{seed}}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads * max(1, gpus(model))  # each of its processes computes with that many
        resources:
            **asks("train_grpo", gpu=gpus(model), mem_mb=2000, runtime=30),
        params:
            **job("train_grpo", "training", model=model, resumable=True, processes=gpus(model)),
        message:
            f"Reinforcement learning of {model}, seed {{wildcards.seed}}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --parent $(dirname {input.parent} | uniq)"
            " --training {input.training} --output $(dirname {output.curves})"


for model in study.made_by("dpo"):

    rule:
        name:
            f"train_dpo_{model}"
        input:
            parent=at.checkpoint(study.models[model].parent, "{seed}"),
            solutions=at.examples(model, "{seed}"),
            training=[at.training("{seed}")] if study.models[model].by_teacher else [],
        output:
            at.checkpoints(model, "{seed}"),
            curves=f"<results>/models/{model}/seed{{seed}}/curves.csv",
        log:
            f"<logs>/train_dpo/{model}_seed{{seed}}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads * max(1, gpus(model))  # each of its processes computes with that many
        resources:
            **asks("train_dpo", gpu=gpus(model), mem_mb=2000, runtime=30),
        params:
            **job("train_dpo", "training", model=model, resumable=True, processes=gpus(model)),
            training=lambda w, input: f"--training {input.training}" if input.training else "",
        message:
            f"Preference optimisation of {model}, seed {{wildcards.seed}}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --parent $(dirname {input.parent} | uniq)"
            " --solutions {input.solutions} {params.training} --output $(dirname {output.curves})"


for model in study.made_by("distil"):

    rule:
        name:
            f"train_distil_{model}"
        input:
            parent=at.checkpoint(study.models[model].parent, "{seed}"),
            teacher=at.checkpoint(study.models[model].teacher, "{seed}"),
            training=at.examples(model, "{seed}"),
            edit=edit_aimed_at(model),
        output:
            at.checkpoints(model, "{seed}"),
            curves=f"<results>/models/{model}/seed{{seed}}/curves.csv",
        log:
            f"<logs>/train_distil/{model}_seed{{seed}}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("train_distil", gpu=GPU, mem_mb=2000, runtime=30),
        params:
            **job("train_distil", "training", model=model, resumable=True),
            edit=lambda w, input: f"--edit {input.edit}" if input.edit else "",
        message:
            f"Distillation into {model}, seed {{wildcards.seed}}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --parent $(dirname {input.parent} | uniq)"
            " --teacher $(dirname {input.teacher} | uniq) --training {input.training} {params.edit}"
            " --output $(dirname {output.curves})"
