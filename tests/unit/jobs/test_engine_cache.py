"""Snakemake's cache of sources: one line where it cannot be made, from `make` and from its tools."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NOWHERE = {"HOME": "/dev/null/home"}  # nobody can make a folder there, root neither
SAID = "Not a directory, and Snakemake keeps a cache there; export XDG_CACHE_HOME="


def run(*command: str, **variables: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    kept |= {"PYTHONPATH": str(ROOT / "scripts")}
    return subprocess.run(command, cwd=ROOT, env=kept | variables, capture_output=True, text=True)


ASK = (sys.executable, "-m", "rlgen.jobs.engine_cache")


def test_a_home_that_can_be_written_is_no_news(tmp_path):
    asked = run(*ASK, HOME=str(tmp_path))
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "", "")


def test_a_home_that_cannot_is_told_with_the_remedy_which_helps(tmp_path):
    asked = run(*ASK, **NOWHERE)
    assert asked.returncode == 1 and SAID in asked.stderr and asked.stderr.count("\n") == 1
    assert run(*ASK, **NOWHERE, XDG_CACHE_HOME=str(tmp_path / "cache")).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["plan_study", "why"])
def test_planning_says_it_instead_of_a_traceback(tool):
    told = run(sys.executable, f"scripts/tools/{tool}.py", **NOWHERE)
    assert told.returncode == 1 and SAID in told.stderr and "Traceback" not in told.stderr


def test_make_asks_before_it_starts_snakemake():
    for target in ("figures", "check"):
        would = run("make", "-n", target).stdout
        assert "-m rlgen.jobs.engine_cache && .venv/bin/snakemake" in would, would
        assert would.count("bin/snakemake ") == 1
