"""Seconds and memory of rules, from the tables that the workflow engine writes per job."""

from pathlib import Path

import pandas as pd


def summary(folder: Path) -> pd.DataFrame:
    """One row per rule and one for all: jobs, seconds (sum and longest job), peak memory (MB), seconds of CPU time.

    `folder` holds `rule.tsv` for rules with one job and `rule/job.tsv` for the others.
    """
    jobs = [
        pd.read_csv(path, sep="\t", na_values=["-"]).assign(rule=path.relative_to(folder).parts[0].removesuffix(".tsv"))
        for path in sorted(folder.rglob("*.tsv"))
    ]
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
