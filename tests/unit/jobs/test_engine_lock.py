"""One Snakemake at a time in a folder: dead runs are cleared away, living ones are named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import SCRIPTS, until

from rlgen.jobs.claims import claim
from rlgen.jobs.engine_lock import LOCKS, RUNS

ENTER = """import sys, time
from pathlib import Path
from rlgen.jobs.engine_lock import StillRunning, enter
while not Path("go").exists():
    time.sleep(0.001)
try:
    notes = enter(sys.argv[2:], sys.argv[1] == "dry")
except StillRunning as error:
    raise SystemExit(f"refused: {error}")
print("in", *notes, flush=True)
if sys.argv[1] == "stay":
    time.sleep(60)
"""
RELEASED = "An earlier run was killed: its lock is released, its work goes on from where it was."


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "go").touch()
    return tmp_path


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """A process that enters a folder as Snakemake does; the first argument: stay, leave or dry."""
    call = [sys.executable, "-c", ENTER, *arguments]
    variables = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    return subprocess.Popen(call, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def enter(folder: Path, *arguments: str) -> tuple[int, str]:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=30)
    return process.returncode, (out + err).strip()


def lock(folder: Path) -> Path:
    """A lock as Snakemake leaves it when it is killed."""
    path = folder / LOCKS / "0.output.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("results/x\n")
    return path


def test_the_lock_of_a_killed_run_is_released_and_said(folder):
    killed = start(folder, "stay")
    assert killed.stdout.readline() == "in\n"
    left = lock(folder)
    killed.kill()
    killed.communicate()
    assert enter(folder, "dry")[1] == "in" and left.exists()
    assert enter(folder, "leave") == (0, f"in {RELEASED}")
    assert not left.exists() and enter(folder, "leave") == (0, "in")
    assert len(list((folder / RUNS).glob("*.json"))) == 1  # dead runs' own files do not pile up


def test_a_lock_without_any_known_run_is_released(folder):
    left = lock(folder)
    assert enter(folder, "leave") == (0, f"in {RELEASED}") and not left.exists()


def test_a_living_run_is_named_and_its_lock_kept(folder):
    living = start(folder, "stay")
    assert living.stdout.readline() == "in\n"
    kept = lock(folder)
    status, words = enter(folder, "leave", "all")
    assert status == 1 and f"another Snakemake is at work in this folder: process {living.pid} on" in words
    looks = [["dry"], ["leave", "--summary"], ["leave", "--dag=dot"], ["leave", "--report", "x.html"], ["leave", "-D"]]
    for arguments in looks:
        assert enter(folder, *arguments) == (0, "in")
    assert kept.exists()
    living.kill()
    living.communicate()


def test_of_several_at_once_one_gets_in(folder):
    (folder / "go").unlink()
    left = lock(folder)
    racers = [start(folder, "stay") for _ in range(4)]
    (folder / "go").touch()
    until(lambda: sum(racer.poll() is not None for racer in racers) == 3)
    (winner,) = [racer for racer in racers if racer.poll() is None]
    assert winner.stdout.readline() == f"in {RELEASED}\n" and not left.exists()
    losers = [racer for racer in racers if racer is not winner]
    assert all(f"process {winner.pid} on" in racer.communicate()[1] for racer in losers)
    winner.kill()
    winner.communicate()


def test_runs_look_and_register_one_after_the_other(folder):
    with claim(folder / RUNS / "entrance.lock", "it is"):
        waiting = start(folder, "leave")
        assert waiting.stderr.readline().startswith(
            f"waiting: the folder's list of runs is in use by process {os.getpid()} on"
        )
        assert waiting.poll() is None
    assert waiting.communicate(timeout=30)[0] == "in\n"
