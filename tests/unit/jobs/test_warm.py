"""Jobs in forks of a process that has imported: as jobs of their own in every respect that can be seen from outside."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import Project, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="servers are for Linux alone")
OUT = ["results/s/out.txt"]
SAY = """import sys
loaded = "matplotlib.figure" in sys.modules
print("saw", json.dumps([loaded, os.getppid(), cfg.get("word")]), file=sys.stderr, flush=True)
event(os.getpid())
"""
FOREVER = SAY + 'wait_for("never")\n'
CAUGHT = (
    SAY.replace("event(os.getpid())", "").replace("\n\n", "\n")
    + """try:
    event(os.getpid())
    wait_for("never")
except KeyboardInterrupt:
    event("interrupted")
    raise
"""
)
DONE = 'write_text("results/s/out.txt", "done")\n'


@pytest.fixture
def engine():
    """A process in the place of the engine."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def project(tmp_path, engine) -> Project:
    project = Project(tmp_path / "project")
    (project.root / "envs/analysis.yaml").write_text((project.root / "envs/tiny.yaml").read_text())
    return project


def warm(engine) -> dict:
    """What makes a job want a server."""
    return {"options": ["--environment", "analysis"], "RLGEN_WARM": "1", "RLGEN_ENGINE": str(engine.pid)}


def said(project: Project) -> tuple[bool, int, str]:
    """What the script `out` saw: whether packages were loaded at its start, its parent process, the setting `word`."""
    (line,) = [line for line in project.log("out").read_text().splitlines() if line.startswith("saw ")]
    return tuple(json.loads(line.removeprefix("saw ")))


def servers(project: Project) -> list[Path]:
    return list((project.results / ".jobs/warm").glob("*.sock"))


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_jobs_are_forks_of_one_server_that_ends_with_the_engine(project, engine):
    project.script("out", SAY + DONE)
    assert project.run("out", OUT, cfg={"word": "first"}, **warm(engine)).status == 0
    loaded, server, word = said(project)
    assert (loaded, word) == (True, "first") and len(servers(project)) == 1
    project.script("out", SAY.replace("cfg.get", "'edited' or cfg.get") + DONE)
    assert project.run("out", OUT, **warm(engine)).status == 0
    assert said(project) == (True, server, "edited") and len(servers(project)) == 1
    assert (project.root / OUT[0]).read_text() == "done" and project.manifest("out").exists()
    engine.kill()
    engine.wait()
    until(lambda: gone(server) and not servers(project))


def edit(project: Project, module: str, lines: str) -> None:
    """Add lines to a module of the package in a copy of the library that is this project's own."""
    package = project.root / "scripts/rlgen"
    library = package.resolve()
    package.unlink()
    shutil.copytree(library, package, ignore=shutil.ignore_patterns("__pycache__"))
    with (package / f"jobs/{module}.py").open("a") as file:
        file.write(f"\n\n{lines}")


def test_this_projects_code_is_read_anew_for_every_job(project, engine):
    project.script("out", SAY + DONE)
    assert project.run("out", OUT, **warm(engine)).status == 0
    _, server, _ = said(project)
    edit(project, "run", "def run(job, rest):\n    return os.getppid() % 100 + 1\n")
    assert project.run("out", OUT, **warm(engine)).status == server % 100 + 1  # edited, and a fork of the same


@pytest.mark.parametrize("body", ["raise SystemExit(3)", "os.kill(os.getpid(), 9)", "os.kill(os.getpid(), 15)"])
def test_a_job_ends_as_its_fork_did(project, engine, body):
    project.script("out", SAY + body + "\n")
    own = project.run("out", OUT).status
    assert not said(project)[0]
    assert project.run("out", OUT, **warm(engine)).status == own != 0
    assert said(project)[0]


def begun(project: Project, engine, body: str = FOREVER) -> tuple[subprocess.Popen, int]:
    """A job that goes on for ever, and the process id of its fork."""
    project.script("out", body)
    job = project.start("out", OUT, **warm(engine))
    until(lambda: len(project.events()) == 1)
    fork = int(project.events()[0])
    assert fork != job.pid
    return job, fork


def test_the_work_ends_when_its_job_is_killed(project, engine):
    job, fork = begun(project, engine)
    job.kill()
    until(lambda: gone(fork))
    job.communicate()


def test_the_work_ends_when_the_engine_is_gone(project, engine):
    job, fork = begun(project, engine)
    engine.kill()
    engine.wait()
    assert job.wait(20) != 0
    until(lambda: gone(fork))
    job.communicate()


@pytest.fixture
def interruptible():
    """Children can be interrupted even where these tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_signals_reach_the_work(project, engine, interruptible):
    job, _ = begun(project, engine, CAUGHT)
    job.send_signal(signal.SIGINT)
    assert job.wait(20) == -signal.SIGINT
    assert project.events()[1:] == [" interrupted"]
    job.communicate()


def test_the_work_does_not_begin_before_signals_are_passed_on(project, engine, interruptible):
    """However long the process that stands for the work takes to stand."""
    slow = "stand = _stand_for_fork\n\n\ndef _stand_for_fork(server):\n    import time\n\n    time.sleep(0.5)\n"
    edit(project, "warm", slow + "    return stand(server)\n")
    job, _ = begun(project, engine, CAUGHT)
    job.send_signal(signal.SIGINT)
    assert job.wait(20) == -signal.SIGINT
    assert project.events()[1:] == [" interrupted"]
    job.communicate()


def test_a_job_with_other_variables_runs_in_its_own_process(project, engine):
    project.script("out", SAY + DONE)
    assert project.run("out", OUT, **warm(engine)).status == 0
    assert project.run("out", OUT, cfg={"word": "b"}, OMP_NUM_THREADS="7", **warm(engine)).status == 0
    loaded, parent, _ = said(project)
    assert not loaded and parent == os.getpid()


def test_a_job_runs_by_itself_where_no_server_can_be(project, engine):
    (project.results / ".jobs").mkdir(parents=True)
    (project.results / ".jobs/warm").write_text("a file in the way")
    project.script("out", SAY + DONE)
    assert project.run("out", OUT, **warm(engine)).status == 0
    assert not said(project)[0]


def test_memory_and_time_of_the_fork_are_noted(project, engine):
    body = "block = bytearray(os.urandom(1)) * 300_000_000\nwhile time.process_time() < 0.5:\n    pass\n"
    project.script("out", SAY + body + DONE)
    assert project.run("out", OUT, **warm(engine)).status == 0
    assert said(project)[0]
    noted = json.loads(project.manifest("out").with_suffix(".run.json").read_text())
    assert 300 < noted["peak_mb"] < 700 and 0.4 < noted["cpu_s"] < 20
