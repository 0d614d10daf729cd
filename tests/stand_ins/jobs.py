"""A project of a few stand-in scripts in a folder of its own, run as jobs through `scripts/job.py` in processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rlgen import files

SCRIPTS = Path(files.__file__).parents[1]
RESULTS = Path("results/s")
HEAD = '''"""A stand-in."""
import argparse
import json
import os
import signal
import time
from pathlib import Path

from rlgen.files import ArtifactError, write_text

parser = argparse.ArgumentParser()
parser.add_argument("--cfg", type=json.loads)
parser.add_argument("--state", type=Path)
args, cfg, me = parser.parse_args(), parser.parse_args().cfg, os.environ.get("ME", "")


def event(word):
    with open("events", "a") as file:
        file.write(f"{me} {word}\\n")


def wait_for(name):
    while not Path(name).exists():
        time.sleep(0.01)


'''
COPY = 'write_text("results/s/copy.txt", Path("results/s/data.txt").read_text())\n'
MAKE = 'write_text("results/s/data.txt", f"version {cfg[\'version\']}")\n'


class Ended(NamedTuple):
    """A job that came to its end."""

    status: int
    log: str
    terminal: str


class Project:
    """The folder, and how to start jobs in it."""

    def __init__(self, root: Path) -> None:
        self.root, self.results = root, root / RESULTS
        (root / "scripts").mkdir(parents=True)
        (root / "envs").mkdir()
        (root / "scripts/rlgen").symlink_to(SCRIPTS / "rlgen")
        (root / "scripts/job.py").write_text((SCRIPTS / "job.py").read_text(encoding="utf-8"), encoding="utf-8")
        (root / "requirements.lock").write_text(
            "# pins\nnumpy==0.1\npytest==0.2\nnowhere-to-be-found==3\n", encoding="utf-8"
        )
        (root / "envs/tiny.yaml").write_text("dependencies:\n  - pip:\n      - numpy==0.1\n", encoding="utf-8")
        self.script("make", MAKE)
        self.script("double", COPY)

    def script(self, name: str, body: str) -> None:
        (self.root / f"scripts/{name}.py").write_text(HEAD + body, encoding="utf-8")

    def log(self, name: str) -> Path:
        return self.results / f"logs/{name}.log"

    def manifest(self, name: str) -> Path:
        return self.results / f"manifests/{name}.json"

    def start(
        self,
        name: str,
        outputs: list[str],
        inputs: list[str] = (),
        cfg: dict | None = None,
        log: str = "",
        options: list[str] = (),
        **variables: str,
    ) -> subprocess.Popen:
        """Start a script as a job; `log` names the job where that is not the script's name."""
        call = [sys.executable, "scripts/job.py", "--script", f"scripts/{name}.py", "--environment", "tiny"]
        call += ["--code", "0" * 16, "--results", str(RESULTS), *options, "--inputs", *inputs, "--outputs", *outputs]
        call += ["--log", str(RESULTS / f"logs/{log or name}.log"), "--", "--cfg", json.dumps(cfg or {})]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("RLGEN_", "SLURM_", "CUDA_", "PYTHONUNB"))}
        clean |= {"TMPDIR": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"} | variables
        return subprocess.Popen(call, cwd=self.root, env=clean, stderr=subprocess.PIPE, encoding="utf-8")

    def end(self, process: subprocess.Popen, log: str) -> Ended:
        _, terminal = process.communicate(timeout=30)
        path = self.log(log)
        return Ended(process.returncode, path.read_text(encoding="utf-8") if path.is_file() else "", terminal)

    def run(self, name: str, outputs: list[str], inputs: list[str] = (), log: str = "", **more) -> Ended:
        return self.end(self.start(name, outputs, inputs, log=log, **more), log or name)

    def make(self, version: int = 1, **more) -> Ended:
        """Make data.txt, as Snakemake would: without what lay there."""
        (self.results / "data.txt").unlink(missing_ok=True)
        return self.run("make", ["results/s/data.txt"], cfg={"version": version, "seed": 5}, **more)

    def copy(self, **more) -> Ended:
        """Make copy.txt of data.txt."""
        return self.run("double", ["results/s/copy.txt"], ["results/s/data.txt"], **more)

    def events(self) -> list[str]:
        path = self.root / "events"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds. The limit is for what hangs: on a busy machine imports alone may take 10 seconds."""
    last = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < last, "it never came"
        time.sleep(0.01)
