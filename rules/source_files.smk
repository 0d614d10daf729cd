# Where the files of studies on published models lie, for the rules of sources, windows and edits on benchmarks.


def source_texts():
    """Files of the sources that the token stream mixes."""
    return [f"{RESULTS}/data/sources/{name}.jsonl" for name in study.stream.mix]


def problems():
    """The file of the problems that SFT and RL train on, where the study trains."""
    return [f"{RESULTS}/data/sources/{study.data.problems}.jsonl"] if study.data.problems else []


def window_folder(window, seed):
    return f"{RESULTS}/activations/seed{seed}/window{window}"


def window_shards(states, window, seed):
    return shard_files(window_folder(window, seed), states, study.stream.training_shards // study.stream.windows)


def trained_through(window, seed):
    """What says that every dictionary has been trained through a window; nothing for windows before the first."""
    entries = study.trained_dictionaries() if window > 0 else []
    return [f"{dictionary_folder(d, r, seed)}/window{window}/curves.csv" for d, r in entries]


def state_before(w):
    """State of the dictionary after the window before; the first window has none."""
    folder = f"{dictionary_folder(w.dictionary, w.recipe, w.seed)}/window{int(w.window) - 1}"
    return [f"{folder}/state.safetensors"] if int(w.window) > 1 else []


def disk_limit():
    """Options of a harvest in windows: the largest size of all shards that lie on the disk at a time."""
    stream = study.stream
    if stream.disk_gb is None:
        return ""
    states = sum(len(study.harvested(model)) for model in study.models)
    windows = min(stream.windows_on_disk, stream.windows)
    shards = stream.training_shards // stream.windows * windows + stream.held_out_shards
    return f"--disk-gb {stream.disk_gb:g} --shards-on-disk {states * shards}"


def behaviour_of(state, seed):
    """Behaviour tables of a state's model, for the tasks that edited models answer."""
    model = study.state(state).partition("@")[0]
    return expand(BEHAVIOUR, model=model, seed=seed, tasks=study.tasks.groups())
