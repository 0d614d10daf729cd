"""Why jobs would run, in words: the engine's reasons, and the manifests' account of what changed."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlgen.jobs import engine_cache, manifests, packages
from rlgen.jobs.differences import SHOWN, changed, code_changed, packages_changed
from rlgen.study import pages
from rlgen.study.load import ConfigError, load

if TYPE_CHECKING:
    from snakemake.dag import DAG
    from snakemake.jobs import Job


CONFIG = Path("config/config.yaml")  # the default study
HARVEST, TRAIN, FINISH = "harvest_window_", "train_window", "finish_dictionary"  # names of rules/windows.smk


def planned(targets: list[str], configfile: Path | None) -> "DAG":
    """The jobs behind some targets, as a dry run of the workflow in this folder finds them.

    Raises SystemExit where the workflow itself refuses, after it has said why.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.exceptions import MissingInputException, MissingRuleException
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

    if problem := engine_cache.refusal():
        raise SystemExit(problem)
    quiet = OutputSettings(dryrun=True, log_level_override="ERROR")
    with SnakemakeApi(quiet) as api:
        try:
            config = ConfigSettings(configfiles=[configfile] if configfile else [])
            workflow = api.workflow(ResourceSettings(cores=1), config, snakefile=Path("Snakefile"))
            workflow.dag(DAGSettings(targets=set(targets), force_incomplete=True)).execute_workflow(executor="dryrun")
        except Exception as error:
            missing = isinstance(error, MissingRuleException | MissingInputException)
            if told := _not_of_the_study(targets, configfile, missing):
                raise SystemExit(f"error: {told}") from None
            api.print_exception(error)
            raise SystemExit(1) from None
        return workflow._workflow.dag  # the API shows a plan but does not hand it out


def _not_of_the_study(targets: list[str], configfile: Path | None, missing: bool) -> str | None:
    """What is wrong with the study, or with targets that it does not have; None where something else is wrong.

    `missing`: the engine found no rule for one of them.
    """
    try:
        study = load(configfile or CONFIG)
    except ConfigError as error:
        return f"the study cannot run:\n{error}"
    names, left_out = {pages.number(page): page for page in pages.PAGES}, pages.left_out(study)
    for target in targets:
        page = Path(target).stem
        if page in left_out:
            return f"{target}: left out of study {study.study}: {left_out[page]}"
        if missing and page in names and target not in (files := [f"figures/{f}" for f in pages.files_of(names[page])]):
            return f"{target}: no file of study {study.study}, expected {' or '.join(files)}"
    if missing and len(targets) == 1:
        expected = "expected one of its files, such as figures/fig1.pdf, or a rule (snakemake --list-rules)"
        return f"{targets[0]}: no file of study {study.study}, {expected}"
    return None


def explain(dag: "DAG") -> str:
    """One paragraph per job that would run, upstream first: its message, and a line per reason."""
    jobs = [job for level in dag.toposorted() for job in sorted(level, key=title) if dag.needrun(job) and job.output]
    if not jobs:
        return "Nothing to be done: everything asked for is there and up to date."
    parts = [f"{len(jobs)} jobs would run."]
    for job in jobs:
        parts.append("\n".join([job.message or title(job), *(f"  {line}" for line in reasons(dag, job))]))
    return "\n\n".join(parts)


def title(job: "Job") -> str:
    """Rule and wildcards of a job."""
    return " ".join([job.rule.name, *job.wildcards])


def reasons(dag: "DAG", job: "Job") -> Iterator[str]:
    """Why one job would run, a line each."""
    reason = dag.reason(job)
    if reason.forced:  # a plan forces nothing else
        yield "an earlier attempt was killed: what it left may not be whole"
    if reason.missing_output:
        yield f"missing: {_listed(reason.missing_output)}"
    if reason.incomplete_output:
        yield f"an earlier attempt was interrupted: {_listed(reason.incomplete_output)}"
    if not reason.missing_output and script_of(job):  # a plain command has no manifest
        yield from _settings_changed(job, bool(reason.params_changed))
    if reason.code_changed:
        yield f"the command of rule {job.rule.name} was edited"
    if reason.input_changed:
        yield "its list of inputs changed"
    if reason.software_stack_changed:
        yield "its conda environment changed"
    if reason.updated_input:
        yield f"newer content: {_listed(reason.updated_input)}"
    if reason.updated_input_run and not reason.missing_output:  # what is missing needs no second reason
        makers = {title(maker) for maker, files in dag.dependencies[job].items() if files & reason.updated_input_run}
        yield f"made anew before it by: {_listed(makers)}"


def _settings_changed(job: "Job", engine_says_so: bool) -> Iterator[str]:
    """What changed since a job's manifest: settings, packages, code.

    The engine does not compare them for a job that runs anyway after another; the manifest tells.
    """
    results, environment, manifest = results_of(job), environment_of(job), manifests.read(manifest_of(job))
    if manifest is None:
        if engine_says_so:
            yield "its settings, code or packages changed (no manifest tells which)"
        return
    for field, before, after in changed(manifest["cfg"], json.loads(job.params.cfg)):
        yield f"setting {field}: was {json.dumps(before)}, is {json.dumps(after)}"
    accepted = packages.read_accepted(results).get(environment, {})
    before, now = packages.locked_for(manifest), packages.versions(Path.cwd(), environment)
    for line in packages_changed(*(packages.counted(pins, accepted) for pins in (before, now))):
        yield f"package {line}"
    if manifest["code"] != job.params.code:
        from rlgen.jobs.code import code_digests

        script = job.dag.workflow.globals["SCRIPTS"][script_of(job)]
        for line in code_changed(manifest["code"], code_digests(script), results):
            yield f"code: {line}"


def script_of(job: "Job") -> str:
    """Name of the script that a job runs; empty for a plain command, such as a copy."""
    return getattr(job.params, "script", "")


def environment_of(job: "Job") -> str:
    """Name of the environment in envs/ that a job runs in."""
    return Path(str(job.rule.conda_env)).stem


def results_of(job: "Job") -> Path:
    """Folder of the results of a job's study."""
    return Path(job.dag.workflow.globals["at"].results)


def manifest_of(job: "Job") -> Path | None:
    """Where a job's manifest lies, written or not: named like its log. None for a plain command."""
    if not script_of(job):
        return None
    results = results_of(job)
    return results / manifests.FOLDER / Path(str(job.log)).relative_to(results / "logs").with_suffix(".json")


@dataclass(frozen=True)
class HarvestedAgain:
    """Windows of activations that were harvested and deleted, and are needed once more; for which dictionaries."""

    stale: int  # dictionaries with a reason of their own
    shared: int  # dictionaries that read the same activations, which the engine trains anew with them
    new: int  # dictionaries that were never finished
    windows: int  # of all seeds
    models: int
    jobs: list["Job"]

    def __str__(self) -> str:
        many = {"is": "dictionary is", "are": "dictionaries are"}
        counts = {"stale": self.stale, "new": self.new, "trained anew because activations are shared": self.shared}
        parts = [f"{n} {many['is' if n == 1 else 'are']} {kind}" for kind, n in counts.items() if n]
        grid = f"{_many(self.windows, 'window')} x {_many(self.models, 'model')}"
        whole = grid if self.windows * self.models == len(self.jobs) else f"{len(self.jobs)} parts of {grid}"
        return f"{', '.join(parts)}; their activations were deleted: {whole} are harvested again"


def harvested_again(dag: "DAG") -> HarvestedAgain | None:
    """What was harvested in windows before and has to be once more; None where nothing has.

    The engine runs a job whose input is made anew and was not there, though nothing in it may differ: one stale
    dictionary takes along those that read one of its models.
    """
    jobs = [job for job in dag.jobs if dag.needrun(job)]
    again = [job for job in jobs if job.rule.name.startswith(HARVEST) and _was_done(job)]
    if not again:
        return None
    done, own = {}, {}
    for job in jobs:
        if job.rule.name in (TRAIN, FINISH):
            key = (job.wildcards.dictionary, job.wildcards.recipe, job.wildcards.seed)
            own[key] = own.get(key, False) or _has_own_reason(dag, job)
            done[key] = done.get(key, False) or (job.rule.name == FINISH and _was_done(job))
    stale, shared = (sum(done[key] and own[key] is it for key in done) for it in (True, False))
    if not stale:  # the harvest itself is: then nobody shares what another needs
        stale, shared = shared, 0
    windows = {(job.wildcards.seed, job.wildcards.window) for job in again}
    models = {job.rule.name for job in again}
    return HarvestedAgain(stale, shared, sum(not it for it in done.values()), len(windows), len(models), again)


def _has_own_reason(dag: "DAG", job: "Job") -> bool:
    """Whether something else makes a job run than activations and states that come and go."""
    reason = dag.reason(job)
    makers = {maker.rule.name for maker, files in dag.dependencies[job].items() if files & reason.updated_input_run}
    return bool(
        (reason.forced or reason.incomplete_output or reason.updated_input or reason.params_changed)
        or (reason.code_changed or reason.input_changed or reason.software_stack_changed)
        or any(not file.is_temp for file in reason.missing_output)
        or any(name != TRAIN and not name.startswith(HARVEST) for name in makers)
    )


def _was_done(job: "Job") -> bool:
    """Whether a job has left its manifest, which stays when its outputs are deleted."""
    path = manifest_of(job)
    return path is not None and path.exists()


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _listed(names: Any) -> str:
    """A few names, numbers in them in order, and how many more there are."""
    ordered = sorted(map(str, names), key=lambda n: [int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", n)])
    return ", ".join(ordered[:SHOWN]) + (f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else "")
