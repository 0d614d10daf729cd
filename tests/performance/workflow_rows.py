"""The engine around a finished study: what a dry run costs, and how long the study took. Only as measured."""

import subprocess
import sys
from pathlib import Path

import yaml
from measure import Measurement, medians

from rlgen.jobs.manifests import FOLDER, runs
from rlgen.planning.timings import summary

ALLOWED_S, LIMIT_S, REPETITIONS = 1.5, 15 * 60, 5
DRY_RUN = f"snakemake -n on the finished study, less {ALLOWED_S} s"
WHOLE = "the whole default study from nothing"


def span(folder: Path) -> float:
    """Seconds from the start of the first job to the end of the last, from what jobs noted beside their manifests.

    Pauses between two runs count, so a study that was finished in pieces seems slower than it is, never faster.
    """
    jobs = [(max(noted.dates.values()) / 1e9, noted.wall_s) for _, noted in runs(folder)]
    return max(end for end, _ in jobs) - min(end - wall_s for end, wall_s in jobs)


def measurements(config: Path) -> list[Measurement]:
    """Two rows for a study whose results lie in results/<study>; without them two rows that say so."""
    tree = Path("results") / yaml.safe_load(config.read_text(encoding="utf-8"))["study"]
    if not (tree / "figures").is_dir():
        note = f"not run: no finished study in {tree}"
        return [not_run(DRY_RUN, "snakemake --version", note), not_run(WHOLE, "15 minutes", note)]
    return [_dry_run(config), _whole(tree)]


def not_run(work: str, peer: str, note: str) -> Measurement:
    """A row without a number."""
    return Measurement(work, peer, float("nan"), float("nan"), "s", "<= 1.0", 0, note)


def _dry_run(config: Path) -> Measurement:
    snakemake = [sys.executable, "-m", "snakemake"]

    def dry() -> None:
        command = [*snakemake, "figures", "-n", "--nolock", "--cores", "1", "--configfile", str(config)]
        found = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
        if "Nothing to be done" not in found.stdout + found.stderr:
            raise ValueError(f"{config}: its study is not finished, or stale")

    def version() -> None:
        subprocess.run([*snakemake, "--version"], check=True, capture_output=True)

    try:
        dry_s, version_s = medians(dry, version, repetitions=REPETITIONS, warmup=1)
    except (ValueError, subprocess.CalledProcessError) as error:
        return not_run(DRY_RUN, "snakemake --version", f"not run: {error}")
    note = f"snakemake -n {dry_s:.2f} s, snakemake --version {version_s:.2f} s"
    return Measurement(DRY_RUN, "snakemake --version", dry_s - ALLOWED_S, version_s, "s", "<= 1.0", REPETITIONS, note)


def _whole(tree: Path) -> Measurement:
    jobs = summary(tree / FOLDER).set_index("rule").loc["all"]
    note = f"read from what its jobs noted: {jobs['jobs']:.0f} jobs, {jobs['seconds']:.0f} s of jobs together"
    return Measurement(WHOLE, "15 minutes", span(tree / FOLDER), LIMIT_S, "s", "<= 1.0", 1, note)
