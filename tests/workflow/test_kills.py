"""A study killed again and again: the documented command goes on, and all artifacts are those of an undisturbed run."""

import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from snakemake_runs import RESULTS, SNAKEMAKE, STUDY, copy_project, digests, environment, manifests, snakemake

COMMAND = ["--configfile", STUDY, "--cores", "2", "--", "all"]  # the same each time, with nothing to clean up between
KILLS = 5


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of the project in which a job keeps a state as often as it can."""
    copy_project(tmp_path)
    study = (tmp_path / "tests/workflow/miniature.yaml").read_text()
    (tmp_path / STUDY).write_text(f"{study}\nmachine: {{state_every_s: 0}}\n")
    return tmp_path


def jobs_of(engine: psutil.Process) -> list[psutil.Process]:
    """Processes of the jobs that a Snakemake runs at the moment."""
    found = []
    for process in engine.children(recursive=True):
        try:
            if "scripts/job.py" in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def interrupted(project: Path, draw: random.Random, victim: str) -> str | None:
    """Start the study and SIGKILL a random job or Snakemake itself at a random moment; what Snakemake said.

    None where the study was finished before that moment came.
    """
    said = project / f"said-{time.monotonic_ns()}.txt"
    with said.open("w") as output:
        run = subprocess.Popen([SNAKEMAKE, *COMMAND], cwd=project, env=environment(), stdout=output, stderr=output)
    jobs, delay_s = draw.randint(1, 15), draw.uniform(0, 6)
    while run.poll() is None and said.read_text().count("Finished jobid") < jobs:
        time.sleep(0.05)
    ends = time.monotonic() + delay_s
    while run.poll() is None and (time.monotonic() < ends or not jobs_of(psutil.Process(run.pid))):
        time.sleep(0.05)
    if run.poll() is not None:
        assert run.returncode == 0, said.read_text()
        return None
    (draw.choice(jobs_of(psutil.Process(run.pid))) if victim == "job" else run).kill()
    run.wait()
    return said.read_text()


@pytest.mark.drill
@pytest.mark.parametrize("seed", range(2))
def test_a_study_killed_five_times_ends_with_the_same_bytes(finished, project, seed):
    draw = random.Random(seed)
    victims = [draw.choice(["job", "snakemake"]) for _ in range(KILLS - 2)] + ["job", "snakemake"]
    draw.shuffle(victims)
    for victim in victims:
        said = interrupted(project, draw, victim)
        if said is None:
            break
        assert not re.search(r"LockException|IncompleteFilesException|Traceback", said), said
    last = subprocess.run([SNAKEMAKE, *COMMAND], cwd=project, env=environment(), capture_output=True, text=True)
    assert last.returncode == 0, last.stdout + last.stderr
    expected, found = digests(finished), digests(project)
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert manifests(project) == manifests(finished)
    again = snakemake(project, "--configfile", STUDY, "--", "all")
    assert again.returncode == 0 and "Nothing to be done" in again.stdout, again.stdout
    assert not list((project / RESULTS / ".jobs" / "states").glob("**/*.safetensors"))


@pytest.mark.drill
def test_a_job_goes_on_from_its_state_whoever_was_killed(project, tmp_path_factory):
    """Pretraining that is long enough to be met in the middle, killed alone and then with Snakemake."""
    study = (project / STUDY).read_text()
    assert "steps: 40, warmup_steps: 5" in study
    (project / STUDY).write_text(study.replace("steps: 40, warmup_steps: 5", "steps: 200, warmup_steps: 5"))
    undisturbed = Path(
        shutil.copytree(
            project, tmp_path_factory.mktemp("undisturbed") / "project", ignore=shutil.ignore_patterns("*.sock")
        )
    )
    command = [*COMMAND[:-1], f"{RESULTS}/models/base/seed0/curves.csv"]
    whole = snakemake(undisturbed, *command)
    assert whole.returncode == 0, whole.stdout
    for victim in ("job", "snakemake"):
        run = subprocess.Popen([SNAKEMAKE, *command], cwd=project, env=environment())
        before = states(project)
        while run.poll() is None and states(project) == before:
            time.sleep(0.01)
        for process in jobs_of(psutil.Process(run.pid)) if victim == "job" else [run]:
            process.kill()
        assert run.wait() != 0  # it did not end before that
    last = snakemake(project, *command)
    assert last.returncode == 0, last.stdout
    assert "continuing from step " in (project / RESULTS / "logs/pretrain/base_seed0.log").read_text()
    assert digests(project) == digests(undisturbed) and manifests(project) == manifests(undisturbed)


def states(project: Path) -> set[int]:
    """When states of jobs were written, in ns."""
    return {path.stat().st_mtime_ns for path in (project / RESULTS / ".jobs/states").glob("**/state.safetensors")}
