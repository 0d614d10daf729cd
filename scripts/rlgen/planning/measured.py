"""Measured seconds in place of assumed ones: those of a study's own jobs, and of dictionary training on a GPU.

A job that ran noted its time beside its manifest. The measured seconds of a rule's jobs divided by their estimates
correct the estimates of its other jobs: sizes that differ between jobs stay in, and so do models of other sizes. A rule
without estimates takes the mean of what was measured. Times of jobs whose settings have changed since count only where
a rule has no others. A job that was continued after a kill noted the seconds of its last attempt.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rlgen.planning.arithmetic import dictionary_flops

DICTIONARY = re.compile(r"training on a GPU, (\w+), M=(\d+), d=(\d+), S=(\d+), B=\d+(?:, k=\d+)?, (\w+)")


@dataclass(frozen=True)
class Timed:
    """What was measured of one job: its estimate in hours (None without one), and whether it is up to date."""

    seconds: float
    estimate: float | None
    fresh: bool


@dataclass(frozen=True)
class Correction:
    """Turns an estimate of a rule's job into measured hours: `factor` times the estimate, or `mean` without one."""

    jobs: int
    factor: float | None
    mean: float

    def hours(self, estimate: float | None) -> float:
        """Hours of a job whose estimate was this."""
        return self.mean if self.factor is None or estimate is None else self.factor * estimate


def correction(timed: Iterable[Timed]) -> Correction | None:
    """What a rule's measured jobs say of its others; None where nothing was measured."""
    jobs = list(timed)
    jobs = [job for job in jobs if job.fresh] or jobs
    if not jobs:
        return None
    measured = sum(job.seconds for job in jobs) / 3600
    known = [job for job in jobs if job.estimate]
    estimated = sum(job.estimate for job in known)
    factor = sum(job.seconds for job in known) / 3600 / estimated if estimated else None
    return Correction(len(jobs), factor, measured / len(jobs))


def dictionary_rates(table: Path) -> dict[str, tuple[float, str]]:
    """`objective precision` -> (FLOP/s reached, machine) of dictionary training on a GPU.

    `table` is docs/speed.csv, which has rows per second. What it says was not run counts as nothing.
    """
    found: dict[str, tuple[float, str]] = {}
    try:
        with open(table, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError):
        return found
    for row in rows:
        match = DICTIONARY.fullmatch(row["work"])
        if match and row["unit"] == "tokens/s" and row["met"] != "not run" and float(row["ours"] or 0) > 0:
            objective, *sizes, precision = match.groups()
            flops = dictionary_flops(1, *map(int, sizes))
            found[f"{objective} {precision}"] = (float(row["ours"]) * flops, row["machine"])
    return found
