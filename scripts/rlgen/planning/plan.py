"""The jobs of a plan with what they take: per job, per rule, altogether."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlgen.jobs.manifests import noted
from rlgen.planning import why
from rlgen.planning.arithmetic import Assumptions
from rlgen.planning.disk import activations_gb
from rlgen.planning.estimates import Work
from rlgen.planning.measured import Correction, Timed, correction, dictionary_rates
from rlgen.planning.sizes import NotEstimated, Sizes
from rlgen.planning.work import Estimator

if TYPE_CHECKING:
    from snakemake.dag import DAG
    from snakemake.jobs import Job

    from rlgen.study.config import Study


SPEED = Path("docs/speed.csv")
ON_A_PROCESSOR = "runs without a GPU"


@dataclass(frozen=True)
class Entry:
    """A job of the plan. `hours` are None, and `why` says why, where nothing is known."""

    job: "Job"
    script: str
    runs: bool
    work: Work
    hours: float | None
    basis: str  # "measured ...", "assumed" or ""
    why: str
    asked: int  # GPUs that its rule asks for
    gpus: int  # GPUs that it takes


@dataclass(frozen=True)
class Row:
    """The jobs of a rule that would run."""

    rule: str
    entries: list[Entry]

    def largest(self, of: str) -> float | None:
        """The largest value of a field of the jobs' work, or of `hours`; None where there is none."""
        values = [getattr(e if of in ("hours", "gpus") else e.work, of) for e in self.entries]
        return max((value for value in values if value is not None), default=None)

    def asked(self, resource: str) -> int | None:
        """The least that a job of the rule asks for of `mem_mb` or `runtime`, on its first attempt."""
        return min((value for e in self.entries if (value := _number(e.job.resources.get(resource)))), default=None)

    @property
    def gpu_hours(self) -> float:
        """Of the jobs whose hours are known."""
        return sum(e.gpus * e.hours for e in self.entries if e.hours is not None)

    @property
    def tokens(self) -> float:
        """Tokens that models read or write, or rows of activations that dictionaries do."""
        return sum(e.work.tokens for e in self.entries)

    @property
    def basis(self) -> str:
        """Where the hours come from."""
        return ", ".join(dict.fromkeys(e.basis for e in self.entries if e.basis))


class Plan:
    """What the jobs that would run take."""

    def __init__(self, dag: "DAG", assumed: Assumptions | None = None) -> None:
        self.dag, self.assumed = dag, assumed or Assumptions()
        self.study: Study = dag.workflow.globals["study"]
        self.estimator = Estimator(self.study, self.assumed, Path("results") / self.study.study)
        self.rates = dictionary_rates(SPEED)
        self.entries = self._entries()

    @property
    def whole(self) -> bool:
        """Whether all jobs of the study are among those looked at, done or not."""
        return any(job.rule.name == "all" for job in self.dag.jobs)

    def rows(self) -> list[Row]:
        """One per rule that would run, upstream first."""
        found: dict[str, list[Entry]] = defaultdict(list)
        for level in self.dag.toposorted():
            for job in sorted(level, key=why.title):
                if job in self.entries and self.entries[job].runs:
                    found[job.rule.name].append(self.entries[job])
        return [Row(rule, entries) for rule, entries in found.items()]

    def critical_hours(self) -> float:
        """The longest chain of jobs that wait for one another, hours; jobs of unknown length count nothing."""
        end: dict[Any, float] = {}
        for level in self.dag.toposorted():
            for job in level:
                entry = self.entries.get(job)
                own = entry.hours or 0.0 if entry and entry.runs else 0.0
                end[job] = own + max((end.get(before, 0.0) for before in self.dag.dependencies[job]), default=0.0)
        return max(end.values(), default=0.0)

    def _entries(self) -> dict["Job", Entry]:
        jobs = [job for job in self.dag.jobs if job.output]
        scripts = {job: why.script_of(job) for job in jobs}
        works, whys = {}, {}
        for job in jobs:
            works[job], whys[job] = self._work(job, scripts[job])
        measured: dict[str, Correction | None] = {}
        for script in set(scripts.values()) - {""}:
            mine = [job for job in jobs if scripts[job] == script]
            measured[script] = correction(self._timed(mine, works))
        return {job: self._entry(job, scripts[job], works[job], whys[job], measured.get(scripts[job])) for job in jobs}

    def _work(self, job: "Job", script: str) -> tuple[Work, str]:
        if not script:
            return Work(hours=0.0), ""
        try:
            return self.estimator.work(script, json.loads(job.params.cfg)), ""
        except NotEstimated as error:
            return Work(), str(error)

    def _timed(self, jobs: Iterable["Job"], works: dict["Job", Work]) -> list[Timed]:
        found = [(job, noted(manifest).wall_s) for job in jobs if (manifest := why.manifest_of(job))]
        return [Timed(s, works[job].hours, not self.dag.needrun(job)) for job, s in found if s is not None]

    def _entry(self, job: "Job", script: str, work: Work, why: str, measured: Correction | None) -> Entry:
        asked = gpus_of(job)
        gpus, runs = (max(asked, work.gpus) if asked else 0), bool(self.dag.needrun(job))
        if measured and (why == "" or measured.factor is None):
            jobs = f"{measured.jobs} job{'s' * (measured.jobs != 1)}"
            return Entry(job, script, runs, work, measured.hours(work.hours), f"measured ({jobs})", "", asked, gpus)
        if work.training and work.training.kind in self.rates and asked:
            rate, machine = self.rates[work.training.kind]
            time = max(work.training.flops / rate / 3600, work.training.reading)
            return Entry(job, script, runs, work, time, f"measured ({SPEED}: {machine})", "", asked, gpus)
        if work.hours and not asked:  # the assumptions are about GPUs
            return Entry(job, script, runs, work, None, "", ON_A_PROCESSOR, asked, gpus)
        return Entry(job, script, runs, work, work.hours, "assumed" if work.hours else "", why, asked, gpus)


def gpus_of(job: "Job") -> int:
    """GPUs that a job asks for."""
    return _number(job.resources.get("gpu")) or int("gpu" in str(job.resources.get("gres", "")))


def announcement(dag: "DAG", known: Plan | None = None) -> str | None:
    """In words: activations that were deleted and are harvested again, with the GPU-hours; None where none are."""
    again = why.harvested_again(dag)
    if again is None:
        return None
    entries = (known or Plan(dag)).entries
    return f"{again}, {hours_in_words([entries[job] for job in again.jobs])}"


def beyond_disk_limit(dag: "DAG") -> str | None:
    """In words: activations that would be harvested exceed `stream.disk_gb`; None where they do not, or nobody knows.

    A harvest says so, too, but when other jobs have used a GPU. A model of the hub whose size the study does not state
    is known only when it is here.
    """
    study: Study = dag.workflow.globals["study"]
    limit = study.stream.disk_gb
    if limit is None or not any(why.script_of(job) == "harvest" for job in dag.needrun_jobs()):
        return None
    try:
        needed = activations_gb(Sizes(study, Path("results") / study.study))
    except NotEstimated:
        return None
    if needed <= limit:
        return None
    remedy = "raise it, or take more windows or smaller shards"
    return f"stream.disk_gb: activations of {needed:.3g} GB lie on the disk together (value {limit:g}); {remedy}"


def hours_in_words(entries: Sequence[Entry]) -> str:
    """`about 12 GPU-hours (assumed)`."""
    known = [entry for entry in entries if entry.hours is not None]
    if not known:
        return f"GPU-hours not known ({entries[0].why})"
    spent = sum(max(1, entry.gpus) * entry.hours for entry in known)
    return f"about {spent:.3g} {'GPU-' if known[0].gpus else ''}hours ({', '.join(sorted({e.basis for e in known}))})"


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
