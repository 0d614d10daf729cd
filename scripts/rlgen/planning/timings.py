"""Seconds and memory of rules, from what every job notes of itself beside its manifest.

The engine's `benchmark:` tables are not used: they measure the process that the engine started, and where that one
stands for a fork of another (rlgen.jobs.warm) it only waits.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rlgen.jobs.manifests import RUN

if TYPE_CHECKING:  # planning needs `seconds` alone, and no pandas
    import pandas as pd


class Measured(NamedTuple):
    """What one job took. None: noted by a version that did not measure it."""

    wall_s: float
    cpu_s: float | None
    peak_mb: float | None


def measured(noted: Path) -> Measured | None:
    """What a job noted in `noted`, a `.run.json`; None without a readable one."""
    try:
        content = json.loads(noted.read_text(encoding="utf-8"))
        return Measured(float(content["wall_s"]), content.get("cpu_s"), content.get("peak_mb"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def seconds(manifest: Path) -> float | None:
    """Seconds that the job of a manifest took; None where it is not known."""
    found = measured(manifest.with_suffix(RUN))
    return found and found.wall_s


def summary(folder: Path) -> "pd.DataFrame":
    """One row per rule and one for all: jobs, seconds (sum and longest job), peak memory (MB), seconds of CPU time.

    `folder` is a study's folder of manifests: `rule.run.json` for rules with one job and `rule/job.run.json` for the
    others. Imports that a fork found done are in no job's seconds.
    """
    import pandas as pd

    jobs = [
        (path.relative_to(folder).parts[0].removesuffix(RUN), *found)
        for path in sorted(folder.rglob(f"*{RUN}"))
        if (found := measured(path))
    ]
    if not jobs:
        return pd.DataFrame(columns=["rule", "jobs", "seconds", "longest", "peak_mb", "cpu_seconds"])
    table = pd.DataFrame(jobs, columns=["rule", *Measured._fields])
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
