"""One Snakemake at a time in a folder: locks of dead runs are released, a living one is named.

Snakemake marks the files of a run with lock files that a killed run leaves behind. Beside them every run here holds a
lock of the kernel's on a file of its own, which ends with the process: so it can be told which runs live.
"""

import os
import socket
from collections.abc import Sequence
from pathlib import Path

from rlgen.jobs.claims import claim, holder, sign, taken

LOCKS, RUNS = Path(".snakemake/locks"), Path(".snakemake/runs")
LOOKS = {
    *("--unlock", "--lint", "--report", "--archive", "--summary", "-S", "--detailed-summary", "-D", "--dag"),
    *("--rulegraph", "--filegraph", "--d3dag", "--list-rules", "-l", "--list-target-rules", "--lt", "--list-changes"),
}
_held = []  # open files whose locks this process keeps until it ends


class StillRunning(RuntimeError):
    """Another Snakemake works in this folder."""


def enter(arguments: Sequence[str], dry_run: bool) -> list[str]:
    """Register this run; returns notes for the user on what dead runs left and what was done about it.

    `arguments`: the command line. Raises StillRunning naming a living run. Dry runs and reports only look.
    """
    if dry_run or any(word.partition("=")[0] in LOOKS for word in arguments):
        return []
    RUNS.mkdir(parents=True, exist_ok=True)
    with claim(RUNS / "entrance.lock", "the folder's list of runs is"):
        living, dead = _runs()
        if living:
            raise StillRunning(
                f"another Snakemake is at work in this folder: {', '.join(living)}. Wait until it ends, or stop it; "
                "a dry run (-n) is possible meanwhile."
            )
        left = [path for path in LOCKS.glob("*") if path.is_file()]
        for path in [*left, *dead]:
            path.unlink(missing_ok=True)
        _register(RUNS / f"{socket.gethostname()}-{os.getpid()}.json")
    return ["An earlier run was killed: its lock is released, its work goes on from where it was."] if left else []


def _register(path: Path) -> None:
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - its lock is held until the process ends
    taken(file)
    sign(file)
    _held.append(file)


def _runs() -> tuple[list[str], list[Path]]:
    """(living runs in words, files of dead ones)."""
    living, dead = [], []
    for path in sorted(RUNS.glob("*.json")):
        with open(path, "a+", encoding="utf-8") as file:
            if taken(file):
                dead.append(path)
            else:
                living.append(holder(path))
    return living, dead
