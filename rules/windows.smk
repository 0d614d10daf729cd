# Activations and dictionaries in windows, for streams whose shards do not fit on the disk together: the shards of a
# window are harvested from every model, all dictionaries train on through them, and they are deleted. A window is not
# harvested before the window `windows_on_disk` before it has been trained on.
#
# Shards and states between windows are gone at the end. What decides them stands in the settings of `train_window` (the
# stream, the harvest's code) and among its inputs (checkpoints, the window's token stream), so that a dictionary that
# has gone stale is found out. It takes a new harvest, and the others are trained on that again, to the same bytes on a
# CPU: the engine runs whatever reads a file that was gone and is made anew, `ancient` or not.


WINDOWS = range(1, study.stream.windows + 1)
HARVEST_CODE = code("harvest")


rule build_window_stream:
    input:
        sources=at.source_texts(),
        reference=at.checkpoint(study.roles.reference, "{seed}"),
    output:
        "<results>/activations/seed{seed}/window{window}/stream.safetensors",
    log:
        "<logs>/build_mixed_stream/seed{seed}_window{window}.log",
    conda:
        "../envs/training.yaml"
    threads: study.threads
    resources:
        **asks("build_mixed_stream", gpu=GPU, mem_mb=2000, runtime=30),
    params:
        **job("build_mixed_stream", "training", slice="build_window_stream"),
    message:
        "Token stream of window {wildcards.window}, seed {wildcards.seed}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --sources {input.sources}"
        " --reference $(dirname {input.reference} | uniq) --output {output}"


# A file of its own says that a window may be harvested, so that another number of windows on the disk changes no input of
# a harvest, which would harvest everything again.
rule open_window:
    input:
        lambda w: at.trained_through(int(w.window) - study.stream.windows_on_disk, w.seed),
    output:
        touch("<results>/activations/seed{seed}/window{window}/open"),
    log:
        "<logs>/open_window/seed{seed}_window{window}.log",
    localrule: True
    message:
        "Room on the disk for window {wildcards.window}, seed {wildcards.seed}"


for model in filter(study.harvested, study.models):

    rule:
        name:
            f"harvest_window_{model}"
        input:
            stream=rules.build_window_stream.output,
            models=[path for state in at.harvested(model) for path in at.checkpoint(state, "{seed}")],
            room=ancient(rules.open_window.output),
        output:
            temp(at.window_shards(at.harvested(model), "{window}", "{seed}")),
        log:
            f"<logs>/harvest_window/{model}_seed{{seed}}_window{{window}}.log",
        conda:
            "../envs/training.yaml"
        threads: study.threads
        resources:
            **asks("harvest", gpu=GPU, mem_mb=2000, runtime=30),
        params:
            **job("harvest", "training", slice="harvest_window", model=model, resumable=True),
            limit=lambda w, input: disk_limit(),  # of the machine: no setting that would make a harvest stale
        message:
            f"Activations of {model} on window {{wildcards.window}}, seed {{wildcards.seed}}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} --stream {input.stream}"
            " --models $(dirname {input.models} | uniq) --outputs $(dirname {output} | uniq) {params.limit}"


rule train_window:
    input:
        shards=lambda w: at.window_shards(at.members(w.dictionary), w.window, w.seed),
        before=lambda w: at.state_before(w.dictionary, w.recipe, int(w.window), w.seed),
        stream=rules.build_window_stream.output,
        models=lambda w: [path for state in at.members(w.dictionary) for path in at.checkpoint(state, w.seed)],
    output:
        state=temp("<results>/dictionaries/{dictionary}/{recipe}/seed{seed}/window{window}/state.safetensors"),
        curves="<results>/dictionaries/{dictionary}/{recipe}/seed{seed}/window{window}/curves.csv",
    log:
        "<logs>/train_window/{dictionary}_{recipe}_seed{seed}_window{window}.log",
    conda:
        "../envs/dictionaries.yaml"
    threads: study.threads
    resources:
        **asks("train_window", gpu=GPU, mem_mb=2000, runtime=30),
    params:
        **job("train_window", "dictionaries", resumable=True),
        harvest=HARVEST_CODE,
        before=lambda w, input: f"--before {os.path.dirname(input.before[0])}" if input.before else "",
    message:
        "Dictionary {wildcards.dictionary}, {wildcards.recipe}, seed {wildcards.seed}, window {wildcards.window}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --shards $(dirname {input.shards} | uniq)"
        " {params.before} --output $(dirname {output.state})"


rule finish_dictionary:
    input:
        last=f"<results>/dictionaries/{{dictionary}}/{{recipe}}/seed{{seed}}/window{WINDOWS[-1]}/state.safetensors",
        held_out=lambda w: at.activations(at.members(w.dictionary), w.seed),
    output:
        at.dictionary("{dictionary}", "{recipe}", "{seed}"),
        curves="<results>/dictionaries/{dictionary}/{recipe}/seed{seed}/curves.csv",
    log:
        "<logs>/finish_dictionary/{dictionary}_{recipe}_seed{seed}.log",
    conda:
        "../envs/dictionaries.yaml"
    threads: 1
    resources:
        **asks("finish_dictionary", gpu=0, mem_mb=2000, runtime=30),
    params:
        **job("finish_dictionary", "dictionaries"),
    message:
        "Dictionary {wildcards.dictionary}, {wildcards.recipe}, seed {wildcards.seed}, after its last window"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --last $(dirname {input.last})"
        " --held-out $(dirname {input.held_out} | uniq) --output $(dirname {output.curves})"
