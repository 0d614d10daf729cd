"""The miniature study, run once; the tests of the workflow look at it or change copies of it."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # modules beside the tests can be imported by name

from snakemake_runs import STUDY, Job, copy_project, jobs_of, snakemake


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A copy of the project in which the miniature study has just been run from nothing. Not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    copy_project(folder)
    shutil.copy(folder / "tests/workflow/miniature.yaml", folder / STUDY)
    run = snakemake(folder, "--configfile", STUDY, "--", "all", cores=2)
    assert run.returncode == 0, run.stdout
    return folder


@pytest.fixture
def tree(finished, tmp_path) -> Path:
    """A copy of the finished study to be changed, times of files included."""
    return Path(shutil.copytree(finished, tmp_path / "tree", ignore=shutil.ignore_patterns("*.sock")))


@pytest.fixture(scope="session")
def jobs(finished) -> dict[str, Job]:
    """Every file that the workflow declares -> the job that made it."""
    return jobs_of(finished)
