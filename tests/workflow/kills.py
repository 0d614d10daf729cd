"""Training scripts in processes that can be killed, without paying for the imports each time."""

import hashlib
import multiprocessing
import os
import random
import resource
import runpy
import sys
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

from script_files import script_file

from rlgen import files

SCRIPTS = Path(files.__file__).parents[1]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["trl.trainer.sft_trainer", "trl.trainer.grpo_trainer"])  # and with them all the rest
POLL_S = 0.002


def start(
    script: str, arguments: list[str], folder: Path, log: Path, largest_file: int | None = None, **environment: str
) -> BaseProcess:
    """Begin `python scripts/SCRIPT.py ARGUMENTS` in a folder; all it says goes to the end of `log`.

    With `largest_file` (bytes) the system refuses to write more into a file: stands for a full disk.
    """
    process = FORKS.Process(target=_run, args=(script, arguments, folder, log, largest_file, environment))
    process.start()
    return process


def _run(script: str, arguments: list[str], folder: Path, log: Path, largest_file, environment: dict) -> None:
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    os.environ.update({"OMP_NUM_THREADS": "1", "HF_HOME": str(folder / "hf")} | environment)
    os.chdir(folder)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    path = str(script_file(script))
    sys.argv = [path, *arguments]
    runpy.run_path(path, run_name="__main__")


def stamp(folder: Path) -> set[tuple[str, int]]:
    """Something that changes when a file below a folder does."""
    found = set()
    for place, _, names in os.walk(folder):  # unlike Path.rglob it does not mind folders that vanish meanwhile
        for path in (os.path.join(place, name) for name in names):
            with suppress(FileNotFoundError):
                found.add((path, os.stat(path).st_mtime_ns))
    return found


def kill_after(process: BaseProcess, folder: Path, changes: int, delay_s: float) -> bool:
    """SIGKILL a process some time after files of a folder have changed so often; False where it was faster."""
    for _ in range(changes):
        before = stamp(folder)
        while process.is_alive() and stamp(folder) == before:
            time.sleep(POLL_S)
    time.sleep(delay_s)
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive


def moments(draw: random.Random, n: int) -> list[tuple[int, float]]:
    """`n` random moments to kill at: (changes of files to wait for, seconds after them). The first is an early one."""
    return [(draw.randint(1, 25 if i else 5), draw.uniform(0, 0.05)) for i in range(n)]


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder -> SHA-256."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
