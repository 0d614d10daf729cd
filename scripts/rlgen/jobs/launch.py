"""Several processes for one job: starts them, ends with them, and tells what stopped them.

`run` starts this module as a process, which calls `accelerate launch`, which starts it again for every process:

    python -m rlgen.jobs.launch launch N scripts/models/train_sft.py ARGUMENTS
    python -m rlgen.jobs.launch script scripts/models/train_sft.py ARGUMENTS

Each ends when the one that started it has ended, however that ended, so that a killed job leaves no one at work on its
outputs. What a script refuses in one line (`ArtifactError`) goes back to the job through a file.
"""

import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rlgen.files import ArtifactError
from rlgen.jobs.orphans import end_with

PACKAGES = Path(__file__).parents[2]
CONFIG = PACKAGES.parent / "config/accelerate/fsdp.yaml"
STARTER = "RLGEN_STARTER"  # environment variable: process id of whoever started this process
PROBLEM = "RLGEN_PROBLEM"  # environment variable: file for what a script refuses


def run(script: Path, arguments: list[str], processes: int) -> None:
    """Run a script in so many processes on this machine. Raises SystemExit with what stopped it, or its status."""
    with tempfile.TemporaryDirectory() as folder:
        problem = Path(folder) / "problem"
        paths = [str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
        told = {STARTER: str(os.getpid()), PROBLEM: str(problem), "PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", "rlgen.jobs.launch", "launch", str(processes), str(script), *arguments]
        status = subprocess.run(command, env=os.environ | told).returncode
        if problem.exists():
            raise SystemExit(problem.read_text(encoding="utf-8"))
    if status:
        raise SystemExit(status if status > 0 else 128 - status)


def launch(processes: str, *call: str) -> None:
    """Become `accelerate launch` of `processes` processes, each of which runs a script."""
    from accelerate.commands.launch import main

    os.environ[STARTER] = str(os.getpid())
    options = ["--config_file", str(CONFIG), "--num_processes", processes, "--mixed_precision", "no"]
    sys.argv = ["launch", *options, "--main_process_port", "0", "--module", "rlgen.jobs.launch", "script", *call]
    main()


def become(script: Path, arguments: Sequence[str]) -> None:
    """Run a script in this process, as `python script arguments` would, with the library in reach wherever it lies."""
    sys.argv = [str(script), *arguments]
    sys.path[:1] = [str(script.parent), str(PACKAGES)]
    runpy.run_path(str(script), run_name="__main__")


def script(path: str, *arguments: str) -> None:
    """Run a script; write down why, where it refuses its input."""
    for stream in (sys.stdout, sys.stderr):  # torchrun starts Python unbuffered: lines would be torn
        stream.reconfigure(line_buffering=True, write_through=False)
    try:
        become(Path(path), arguments)
    except ArtifactError as error:
        Path(os.environ[PROBLEM]).write_text(str(error), encoding="utf-8")
        raise SystemExit(1) from None


if __name__ == "__main__":
    end_with(int(os.environ[STARTER]))
    {"launch": launch, "script": script}[sys.argv[1]](*sys.argv[2:])
