# What all rules share: the checked study, settings and code of a rule, places of artifacts.
from functools import cache
from inspect import signature
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from rlgen.files import ArtifactError, canonical_json
from rlgen.jobs import engine_lock
from rlgen.jobs import packages as pinned
from rlgen.jobs.code import code_digest
from rlgen.jobs.run import clear_states
from rlgen.study import pages as page_slices
from rlgen.study import slices
from rlgen.study.load import ConfigError, load

try:
    study = load(dict(config))
except ConfigError as error:
    raise WorkflowError(f"The study cannot run:\n{error}")

RESULTS = f"results/{study.study}"

if workflow.is_main_process:
    try:
        notes = engine_lock.enter(sys.argv[1:], workflow.output_settings.dryrun)
        for note in [*notes, *pinned.announcement(Path(workflow.basedir), Path(RESULTS))]:
            logger.warning(note)
    except (engine_lock.StillRunning, ArtifactError) as error:
        raise WorkflowError(str(error))

SEEDS = study.seeds
SCRIPTS = {path.stem: path for path in Path(workflow.basedir, "scripts").glob("*/*.py")}
GPU = 0 if study.machine.device == "cpu" else 1  # graphics processors for a job that can use one


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


wildcard_constraints:
    seed=r"\d+",
    model="|".join(map(re.escape, study.models)),
    task="|".join(map(re.escape, study.tasks.role_of())),
    tasks="|".join(study.tasks.groups()),
    dictionary="|".join(map(re.escape, study.dictionaries)),
    recipe="|".join(map(re.escape, study.recipes)),
    procedure="|".join(map(re.escape, study.procedures)),


# Jobs find the interpreter that runs Snakemake, hash alike, use the study's threads, whatever the machine has, and end
# with the Snakemake that started them.
os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]))
variables = dict.fromkeys(["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"], study.threads)
variables |= {"PYTHONHASHSEED": 0, "TOKENIZERS_PARALLELISM": "false", "RLGEN_ENGINE": "$PPID"}
variables |= {"RLGEN_WARM": int(workflow.is_main_process)}  # a nested Snakemake on a cluster runs one job and ends
variables |= study.machine.environment()
shell.prefix(f"set -euo pipefail; export {' '.join(f'{name}={value}' for name, value in variables.items())}; ")


def cfg(name, **fixed):
    """All settings that the named rule obeys, as one canonical JSON text."""
    slice_of = getattr(slices, name, None) or getattr(page_slices, name)

    def text(wildcards):
        known = fixed | dict(wildcards.items())
        return canonical_json(
            slice_of(study, **{k: v for k, v in known.items() if k in signature(slice_of).parameters})
        )

    return text


@cache
def code(script):
    """Digest of a script and of the library modules it imports: with it, an edit runs again what uses it."""
    return code_digest(SCRIPTS[script])


@cache
def packages(environment):
    """Digest of an environment's locked versions: with it, an update runs again what the environment produces."""
    return pinned.packages_digest(Path(workflow.basedir), environment, Path(RESULTS))


def gpus(model):
    """Graphics processors, and processes, that train a model together."""
    scale = study.models[model].scale
    return GPU * (scale.gpus if scale else 1)


def job(script, environment, resumable=False, processes=1):
    """The start of a rule's command: its script, run as a job. It names files and is therefore no tracked setting."""
    start = f"python scripts/job.py --script {SCRIPTS[script].relative_to(workflow.basedir)} --environment {environment} --results {RESULTS}"
    start += f" --code {code(script)}" + " --resumable" * resumable
    start += f" --processes {processes}" if processes > 1 else ""

    def text(wildcards, input, output, resources):
        gpu = resources.gpu or int("gpu" in resources.get("gres", ""))  # some clusters hand out GPUs as `gres`
        return f"{start} --gpu {gpu} --inputs {input} --outputs {output}"

    return text


def grows(amount):
    """A request that grows with every attempt: what was killed for want of memory or time is given more."""
    return lambda wildcards, attempt: amount * attempt


def asks(script, what, default):
    """Memory or minutes for a script's jobs, as the study's `machine` says or the default study needs."""
    request = study.machine.requests.get(script)
    return grows(getattr(request, what, None) or default)


onstart:
    # Nothing runs yet. Only here is it known what will: when rules are read no job has been planned.
    if workflow.is_main_process and not study.organism:
        from rlgen.planning.plan import announcement, beyond_disk_limit

        if problem := beyond_disk_limit(workflow.dag):
            raise WorkflowError(problem)
        if note := announcement(workflow.dag):
            logger.warning(note)


# Places of artifacts whose files belong together. A state is a model at a checkpoint: `rl` (the last one), `rl@2`.

TASKS = {"samples": "<results>/data/tasks/{task}.jsonl", "docs": "<results>/data/tasks/{task}.docs.jsonl"}
TRAINING = "<results>/data/training/seed{seed}.jsonl"
STREAM = "<results>/activations/seed{seed}/stream.safetensors"
BEHAVIOUR = "<results>/behaviour/{model}/seed{seed}/{tasks}.parquet"
COMPLETIONS = "<results>/activations/seed{seed}/completions/{model}.safetensors"
INTERVENTION = "<results>/interventions/{procedure}/seed{seed}.parquet"
STEERING = "<results>/interventions/steering/seed{seed}.parquet"
CHECKPOINT = ["model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
DICTIONARY = ["sae_weights.safetensors", "cfg.json", "normalisation.safetensors"]


def checkpoint_folder(state, seed):
    model, _, number = study.state(state).partition("@")
    return f"{RESULTS}/models/{model}/seed{seed}/checkpoint{number}"


def checkpoint(state, seed):
    """Files of one model state."""
    return [f"{checkpoint_folder(state, seed)}/{name}" for name in CHECKPOINT]


def checkpoints(model, seed):
    """Files of all states of a model."""
    return [path for i in study.checkpoints(model) for path in checkpoint(f"{model}@{i}", seed)]


def shard_files(folder, states, shards):
    """Manifests and shards of model states, one folder each."""
    names = ["manifest.json", *(f"shard{i:03d}.safetensors" for i in range(shards))]
    return [f"{folder}/{study.state(state)}/{name}" for state in states for name in names]


def activations(states, seed):
    """Shards that are kept: all, or the held-out ones where the others are harvested in windows."""
    return shard_files(f"{RESULTS}/activations/seed{seed}", states, study.kept_shards)


def harvested(model):
    """States of a model whose activations are kept."""
    return [f"{model}@{i}" for i in study.harvested(model)]


def members(dictionary):
    """States that a dictionary reads together."""
    return study.dictionaries[dictionary].members


def dictionary_folder(dictionary, recipe, seed):
    return f"{RESULTS}/dictionaries/{dictionary}/{recipe}/seed{seed}"


def dictionary_files(dictionary, recipe, seed, *names):
    """Files of a trained dictionary, and further files beside them."""
    return [f"{dictionary_folder(dictionary, recipe, seed)}/{name}" for name in [*DICTIONARY, *names]]


def of_procedure(procedure, seed, *names):
    """Files of the dictionary that a procedure reads."""
    settings = study.procedures[procedure]
    return dictionary_files(settings.dictionary, settings.recipe, seed, *names)


def task_files(kind, tasks):
    """Samples of tasks; or the documents behind them, which only benchmarks have."""
    return expand(TASKS[kind], task=tasks) if kind == "samples" or not study.organism else []


def completions_of(procedure, seed):
    """Activations on the completions of the model that a procedure explains."""
    model = study.tuned_state(study.procedures[procedure].dictionary).partition("@")[0]
    return f"{RESULTS}/activations/seed{seed}/completions/{model}.safetensors"


def of_dynamics(dictionary, seed):
    """Files of a dictionary that the dynamics read."""
    return dictionary_files(dictionary, study.features.course_recipe, seed, "features.parquet")


# Artifacts of all seeds, in the order in which their slices list what they belong to.


def of_dictionary(dictionary, *names):
    """Files of one dictionary, recipe by recipe, seed by seed."""
    recipes = study.dictionaries[dictionary].recipes
    return [f"{dictionary_folder(dictionary, r, seed)}/{name}" for r in recipes for seed in SEEDS for name in names]


def summary_of(dictionaries, name):
    """The summaries of some dictionaries: what a figure of these needs, and no other dictionary."""
    return [f"{RESULTS}/dictionaries/{dictionary}/{name}" for dictionary in dictionaries]


def of_mediation(name):
    pattern = f"<results>/features/mediation/{{procedure}}/seed{{seed}}/{name}"
    return expand(pattern, procedure=study.procedures, seed=SEEDS)


PAGES = {f"fig{i}": [f"fig{i}.pdf", f"fig{i}.png"] for i in range(1, 9)}
PAGES |= {f"table{i}": [f"table{i}.csv", f"table{i}.tex"] for i in range(1, 4)}
LEFT_OUT = page_slices.left_out(study)
for page, reason in LEFT_OUT.items():
    logger.info(f"{page} is left out: {reason}")


def pages(folder):
    """Every figure and table that the study has the inputs for."""
    return [f"{folder}/{name}" for page, names in PAGES.items() if page not in LEFT_OUT for name in names]


def every_artifact():
    """Every file that the rules of this study make: a deleted one comes back through `snakemake all`.

    But for those of windows, which serve nothing but training and would bring it back.
    """
    summarised = ["quality.csv", "features.parquet"]
    measured = ["curves.csv", *summarised, "contexts.parquet"]
    files = [
        *(rules.make_tokenizer.output if study.organism else rules.download.input),
        *(expand(rules.make_task.output, task=study.tasks.role_of()) if study.organism else []),
        *(expand(TRAINING, seed=SEEDS) if study.trained() else []),
        *[path for model in study.models for seed in SEEDS for path in checkpoints(model, seed)],
        *rules.summarise_behaviour.input,
        *rules.summarise_behaviour.output,
        *expand(STREAM, seed=SEEDS),
        *[path for model in study.models for seed in SEEDS for path in activations(harvested(model), seed)],
        *[path for dictionary in study.dictionaries for path in of_dictionary(dictionary, *DICTIONARY, *measured)],
        *[path for name in summarised for path in summary_of(study.dictionaries, name)],
        *(expand(rules.measure_truth.output, seed=SEEDS) if study.organism else []),
        *pages(f"{RESULTS}/figures"),
        *pages("figures"),
    ]
    if not study.organism and study.data.teacher:
        files += expand([*rules.collect_trajectories.input, *rules.collect_trajectories.output], seed=SEEDS)
    summaries = [rules.summarise_dynamics] if study.courses() else []
    if study.procedures:
        summaries += [rules.summarise_mediation, rules.summarise_interventions]
        summaries += [rules.summarise_recovery] if study.organism else []
        files += sorted({completions_of(procedure, seed) for procedure in study.procedures for seed in SEEDS})
        files += [] if study.organism else expand(rules.steer_benchmarks.output.agreement, seed=SEEDS)
    return files + [path for rule in summaries for path in [*rule.input, *rule.output]]
