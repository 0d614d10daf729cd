"""Jobs of several processes: started together, ended together, and what one refuses told by the job."""

import shutil
from pathlib import Path

import pytest
from jobs import Ended, Project, until

import rlgen

CONFIG = "config/accelerate/fsdp.yaml"
TWO = ["--processes", "2"]
OUT = ["results/s/out.txt"]
BODY = """
rank = os.environ["RANK"]
Path(f"alive{rank}").write_text(str(os.getpid()))
assert os.environ["WORLD_SIZE"] == "2" and os.environ["ACCELERATE_USE_FSDP"] == "true"
"""


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    (tmp_path / CONFIG).parent.mkdir(parents=True)
    shutil.copy(Path(rlgen.__file__).parents[2] / CONFIG, tmp_path / CONFIG)
    return project


def run(project: Project, outputs: list[str], **more) -> Ended:
    """Run the pair to its end: starting it takes a while on a busy machine."""
    process = project.start("pair", outputs, options=TWO, **more)
    _, terminal = process.communicate(timeout=120)
    return Ended(process.returncode, project.log("pair").read_text(), terminal)


def gone(project: Project, rank: int) -> bool:
    try:
        stat = Path(f"/proc/{(project.root / f'alive{rank}').read_text()}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"  # ended, although nobody asked how


@pytest.mark.slow
def test_every_process_runs_the_script_with_its_arguments(project):
    project.script("pair", BODY + 'write_text(f"results/s/out{rank}.txt", str(cfg["k"]))\n')
    outputs = [f"results/s/out{rank}.txt" for rank in (0, 1)]
    ended = run(project, outputs, cfg={"k": 8})
    assert ended.status == 0, ended.log
    assert [(project.root / path).read_text() for path in outputs] == ["8", "8"]
    assert project.manifest("pair").exists() and "error" not in ended.log


@pytest.mark.slow
def test_what_one_process_refuses_is_the_last_line_and_ends_all(project):
    body = (
        'if rank == "1":\n    raise ArtifactError("data.txt: is not what it was; make it again")\nwait_for("never")\n'
    )
    project.script("pair", BODY + body)
    ended = run(project, OUT)
    assert ended.status == 1 and gone(project, 0) and gone(project, 1), ended.log
    assert ended.log.splitlines()[-1] == "error: data.txt: is not what it was; make it again"


@pytest.mark.slow
def test_a_bug_keeps_its_traceback(project):
    project.script("pair", BODY + "1 / 0\n")
    ended = run(project, OUT)
    assert ended.status != 0 and "ZeroDivisionError: division by zero" in ended.log, ended.log
    assert not project.manifest("pair").exists()


@pytest.mark.slow
def test_lines_of_processes_that_speak_at_once_stay_whole(project):
    """torchrun starts its processes unbuffered: `print` would write every word, and those of others between them."""
    words = " ".join("abcdefgh")
    speak = f'for _ in range(2000):\n    print(*"{words}".split())\nwrite_text(f"o{{rank}}", "")\n'
    project.script("pair", BODY + speak)
    ended = run(project, ["o0", "o1"])
    assert ended.status == 0, ended.log
    said = ended.log.splitlines()
    assert said.count(words) == 4000, [line for line in said if line != words][:10]


@pytest.mark.slow
def test_a_killed_job_leaves_nobody_at_work(project):
    project.script("pair", BODY + 'wait_for("never")\n')
    job = project.start("pair", OUT, options=TWO)
    until(lambda: all((project.root / f"alive{rank}").exists() for rank in (0, 1)), seconds=120)
    job.kill()
    job.communicate()
    until(lambda: gone(project, 0) and gone(project, 1))
