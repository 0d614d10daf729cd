# What all rules share: the checked study, the engine's door, settings and code of a rule. Places of artifacts are in
# scripts/rlgen/study/paths.py.
import shlex
from functools import cache
from inspect import signature
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

from rlgen import digests
from rlgen.files import ArtifactError, canonical_json
from rlgen.jobs import engine_lock, environments, records
from rlgen.jobs import packages as pinned
from rlgen.jobs.code import Look, code_digest
from rlgen.jobs.run import clear_states
from rlgen.ledger.settings import dictionaries_of
from rlgen.names import MAPS
from rlgen.study import pages, slices
from rlgen.study.aims import aim_of, aims
from rlgen.study.config import check_known
from rlgen.study.load import ConfigError, load
from rlgen.study.paths import Paths
from rlgen.study.places import absent, unreadable

try:
    study = load(dict(config))
except ConfigError as error:
    raise WorkflowError(f"The study cannot run:\n{error}")

at = Paths(study)
SEEDS = study.seeds
WATCHED = study.arms.watch if study.arms else None  # the procedure whose set is read in every arm
GPU = 0 if study.machine.device == "cpu" else 1  # graphics processors for a job that can use one
# Before the paths of scripts: nothing, or the project's folder where `-d` or `-s` make results elsewhere.
PROJECT = "" if os.path.samefile(workflow.basedir, ".") else f"{shlex.quote(str(workflow.basedir))}/"
SCRIPTS = {path.stem: path for path in Path(workflow.basedir, "scripts").glob("*/*.py")}
LOOK = Look()  # code as it is when the rules are read

for name in study.machine.requests:
    try:
        check_known(name, "script", sorted(SCRIPTS))
    except ValueError as error:
        raise WorkflowError(f"machine.requests: {error}")

if workflow.output_settings.dryrun and workflow.is_main_process:
    for note in absent(study):
        logger.warning(note)

if workflow.is_main_process:
    try:
        notes = engine_lock.enter(sys.argv[1:], workflow.output_settings.dryrun)
        for note in [*notes, *pinned.announcement(Path(workflow.basedir), Path(at.results))]:
            logger.warning(note)
        if not workflow.output_settings.dryrun:
            os.environ.update(digests.begin(Path(at.results)))  # its jobs inherit it, on clusters too
    except (engine_lock.StillRunning, ArtifactError) as error:
        raise WorkflowError(str(error))


pathvars:
    results=at.results,
    logs=f"{at.results}/logs",


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
    """All settings that the named rule obeys, as one canonical JSON text in ASCII."""
    slice_of = getattr(slices, name, None) or getattr(pages, name)

    def text(wildcards):
        known = fixed | dict(wildcards.items())
        asked = {name: value for name, value in known.items() if name in signature(slice_of).parameters}
        return canonical_json(slice_of(study, **asked), only_ascii=True)

    return text


@cache
def code(script):
    """Digest of a script and of the library modules it imports: with it, an edit runs again what uses it."""
    return code_digest(SCRIPTS[script], LOOK)


@cache
def packages(environment):
    """Digest of an environment's locked versions: with it, an update runs again what the environment produces."""
    return pinned.packages_digest(Path(workflow.basedir), environment, Path(at.results))


def job(script, environment, slice=None, resumable=False, processes=1, **fixed):
    """The standing params of a rule: its script, settings, code and packages, and the start of its command.

    `slice` names the settings where that is not the script. The command names files and is no tracked setting.
    """
    place = SCRIPTS[script].relative_to(workflow.basedir)
    start = f"python {PROJECT}scripts/job.py --script {PROJECT}{place} --environment {environment}"
    start += f" --results {at.results}"
    start += f" --code {code(script)}" + " --resumable" * resumable
    start += f" --processes {processes}" if processes > 1 else ""

    def text(wildcards, input, output, resources):
        gpu = resources.gpu or int("gpu" in resources.get("gres", ""))  # some clusters hand out GPUs as `gres`
        return f"{start} --gpu {gpu} --inputs {input} --outputs {output}"

    settings = {"cfg": cfg(slice or script, **fixed), "code": code(script), "packages": packages(environment)}
    return settings | {"script": script, "slice": slice or script, "job": text}


def edit_aimed_at(model):
    """The edit that a model is distilled under or held to."""
    aim = aim_of(study.models[model])
    return at.fixed_edit(aim.procedure, aim.set, "{seed}") if aim else []


def exchanged_checkpoints(procedure, seed):
    """The reference and the model that a procedure explains."""
    return [path for state in slices.exchanged_models(study, procedure) for path in at.checkpoint(state, seed)]


def gpus(model):
    """Graphics processors, and processes, that train a model together."""
    scale = study.models[model].scale
    return GPU * (scale.gpus if scale else 1)


def asks(script, gpu, mem_mb, runtime):
    """Requests of a script's jobs: what the study's `machine` says, or these megabytes and minutes.

    Both grow with every attempt: what was killed for want of memory or time is given more. Processors that work together
    have to be on one node.
    """
    said = study.machine.requests.get(script)

    def grows(what, default):
        amount = getattr(said, what, None) or default
        return lambda wildcards, attempt: amount * attempt

    together = {"nodes": 1} if gpu > 1 else {}
    return together | {"gpu": gpu, "mem_mb": grows("mem_mb", mem_mb), "runtime": grows("runtime", runtime)}


def disk_limit():
    """Options of a harvest in windows: the largest size of all shards that lie on the disk at a time."""
    stream = study.stream
    if stream.disk_gb is None:
        return ""
    states = sum(len(study.harvested(model)) for model in study.models)
    windows = min(stream.windows_on_disk, stream.windows)
    shards = stream.training_shards // stream.windows * windows + stream.held_out_shards
    return f"--disk-gb {stream.disk_gb:g} --shards-on-disk {states * shards}"


def refuse_without_packages():
    """Say once, before the first job, what all of them would die of: planning needs Snakemake and pydantic alone."""
    if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
        return
    needed = {Path(str(job.rule.conda_env)).stem for job in workflow.dag.needrun_jobs() if "cfg" in job.params.keys()}
    if lacking := environments.lacking(needed):
        raise WorkflowError(
            f"{sys.executable}, which runs Snakemake and its jobs, lacks {', '.join(lacking)}. Either run `make "
            ".venv/.installed` once and then .venv/bin/snakemake, or add `--sdm conda` and let Snakemake build the jobs' "
            "environments (envs/)."
        )


def refuse_unreadable_models():
    """Say before the first job what the import of a GGUF file would die of: its header tells."""
    importing = [job.rule.name for job in workflow.dag.needrun_jobs() if job.params.get("script") == "import_model"]
    if problems := list(unreadable(study, [name.removeprefix("import_").removeprefix("model_") for name in importing])):
        raise WorkflowError("\n".join(problems))


onstart:
    # Nothing runs yet. Only here is it known what will: when rules are read no job has been planned.
    if workflow.is_main_process:
        refuse_without_packages()
    if workflow.is_main_process and not study.organism:
        from rlgen.planning.plan import announcement, beyond_disk_limit

        refuse_unreadable_models()
        if problem := beyond_disk_limit(workflow.dag):
            raise WorkflowError(problem)
        if note := announcement(workflow.dag):
            logger.warning(note)


LEFT_OUT = pages.left_out(study)
for page, reason in LEFT_OUT.items():
    logger.info(f"{page} is left out: {reason}")
for target in sys.argv[1:]:
    if (page := Path(target).stem) in LEFT_OUT:
        raise WorkflowError(f"{target} is left out: {LEFT_OUT[page]}")


def named_tables(wildcards, input):
    """The part of a page's command that names its tables: the options of its script are the names of its inputs."""
    listed = {name: [files] if isinstance(files, str) else files for name, files in input.items()}
    return " ".join(f"--{name} {' '.join(files)}" for name, files in listed.items())


def shown(folder, listed=pages.USUAL):
    """Every figure and table, of those listed, that the study has the inputs for."""
    return [
        f"{folder}/{name}" for page in listed if pages.number(page) not in LEFT_OUT for name in pages.files_of(page)
    ]


def every_artifact():
    """Every file that the rules of this study make."""
    tasks = expand(rules.make_task.output, task=study.tasks.role_of()) if study.organism else []
    files = [
        *(rules.make_tokenizer.output if study.organism else rules.download.input),
        *tasks,
        *at.every_artifact(),
        *rules.summarise_behaviour.input,
        *rules.summarise_behaviour.output,
        *(expand(rules.measure_truth.output, seed=SEEDS) if study.organism else []),
        *rules.build_site.input.inspected,
        *rules.build_site.input.alone,
        *rules.build_site.input.texts,
        *rules.build_site.output,
        *([rules.judge_claims.output.html] if study.claims else []),
        *shown(f"{at.results}/figures"),
        *shown("figures"),
    ]
    if not study.organism and study.data.teacher:
        files += expand(rules.collect_trajectories.output, seed=SEEDS)
    summaries = [rules.summarise_dynamics] if study.courses() else []
    for procedure, settings in study.procedures.items():
        wanted = [rules.attribute_features] * settings.by_cause + [rules.choose_together] * settings.joint
        files += [
            path for rule in wanted for path in expand(rule.output, procedure=procedure, seed=SEEDS, tasks="known")
        ]
    if study.procedures:
        summaries += [rules.summarise_mediation, rules.summarise_interventions]
        summaries += [rules.summarise_recovery] if study.organism else []
        files += [] if study.organism else expand(rules.steer_benchmarks.output.agreement, seed=SEEDS)
    summaries += [rules.summarise_sensitivity] if study.variants else []
    files += [at.sensitivity("equivalence", seed) for seed in SEEDS] if study.asks("equivalence") else []
    files += [at.sensitivity("maps", seed) for seed in SEEDS] if study.asks("maps") else []
    summaries += [rules.summarise_arms, rules.compare_arms] if study.arms else []
    summaries += [rules.foretell_arms] if WATCHED else []
    return files + [path for rule in summaries for path in [*rule.input, *rule.output]]
