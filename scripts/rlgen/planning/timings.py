"""Seconds and memory of rules, from what every job notes of itself beside its manifest.

The engine's `benchmark:` tables are not used: they measure the process that the engine started, and where that one
stands for a fork of another (rlgen.jobs.warm) it only waits.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from rlgen.jobs.manifests import runs

if TYPE_CHECKING:  # late: planning has no pandas
    import pandas as pd


def summary(folder: Path) -> "pd.DataFrame":
    """One row per rule and one for all: jobs, seconds (sum and longest job), peak memory (MB), seconds of CPU time.

    `folder` is a study's folder of manifests: `rule.run.json` for rules with one job and `rule/job.run.json` for the
    others. Imports that a fork found done are in no job's seconds.
    """
    import pandas as pd

    jobs = [
        (manifest.relative_to(folder).with_suffix("").parts[0], noted.wall_s, noted.cpu_s, noted.peak_mb)
        for manifest, noted in runs(folder)
        if noted.wall_s is not None
    ]
    if not jobs:
        return pd.DataFrame(columns=["rule", "jobs", "seconds", "longest", "peak_mb", "cpu_seconds"])
    table = pd.DataFrame(jobs, columns=["rule", "wall_s", "cpu_s", "peak_mb"])
    columns = {
        "jobs": ("wall_s", "size"),
        "seconds": ("wall_s", "sum"),
        "longest": ("wall_s", "max"),
        "peak_mb": ("peak_mb", "max"),
        "cpu_seconds": ("cpu_s", "sum"),
    }
    rules = table.groupby("rule").agg(**columns).sort_values("seconds", ascending=False).reset_index()
    whole = table.assign(rule="all").groupby("rule").agg(**columns).reset_index()
    return pd.concat([rules, whole], ignore_index=True).round(1)
