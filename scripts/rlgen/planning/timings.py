"""Seconds and memory of rules, from the tables that the workflow engine writes per job.

The engine measures the process that it started. Where that one stood for a fork of another (rlgen.jobs.warm), what the
work itself took is known to the job alone, which notes it beside its manifest.
"""

import csv
import json
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from rlgen.jobs.manifests import FOLDER, RUN

if TYPE_CHECKING:  # planning needs `seconds` alone, and no pandas
    import pandas as pd


def seconds(benchmark: Path) -> float | None:
    """Seconds in a job's benchmark table, the mean over repetitions; None without a readable one."""
    try:
        with open(benchmark, encoding="utf-8", newline="") as file:
            return mean(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))
    except (OSError, ValueError, KeyError):
        return None


def summary(folder: Path) -> "pd.DataFrame":
    """One row per rule and one for all: jobs, seconds (sum and longest job), peak memory (MB), seconds of CPU time.

    `folder` holds `rule.tsv` for rules with one job and `rule/job.tsv` for the others; the study's manifests lie
    beside it. Imports that a fork found done are in no job's CPU time.
    """
    import pandas as pd

    jobs = [_job(path, folder) for path in sorted(folder.rglob("*.tsv"))]
    if not jobs:
        return pd.DataFrame(columns=["rule", "jobs", "seconds", "longest", "peak_mb", "cpu_seconds"])
    table = pd.concat(jobs, ignore_index=True)
    columns = {
        "jobs": ("s", "size"),
        "seconds": ("s", "sum"),
        "longest": ("s", "max"),
        "peak_mb": ("max_rss", "max"),
        "cpu_seconds": ("cpu_time", "sum"),
    }
    rules = table.groupby("rule").agg(**columns).sort_values("seconds", ascending=False).reset_index()
    whole = table.assign(rule="all").groupby("rule").agg(**columns).reset_index()
    return pd.concat([rules, whole], ignore_index=True).round(1)


def _job(path: Path, folder: Path) -> "pd.DataFrame":
    """One job's row: the engine's table, with the job's own CPU time and peak memory where it noted them."""
    import pandas as pd

    name = path.relative_to(folder)
    row = pd.read_csv(path, sep="\t", na_values=["-"]).assign(rule=name.parts[0].removesuffix(".tsv"))
    try:
        own = json.loads((folder.parent / FOLDER / name.with_suffix(RUN)).read_text(encoding="utf-8"))
        return row.assign(max_rss=own["peak_mb"], cpu_time=own["cpu_s"])
    except (OSError, ValueError, KeyError):
        return row
