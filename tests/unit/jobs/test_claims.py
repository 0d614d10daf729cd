"""What one job at a time may use: outputs of a job and its successor, graphics processors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import SCRIPTS, Project, until

from rlgen.files import ArtifactError
from rlgen.jobs import claims

SLOW = """event("begins")
wait_for(f"go_{me}")
write_text("results/s/data.txt", "made by the same code" if cfg["same"] else me)
event("ends")
"""
DATA = ["results/s/data.txt"]
SHOW = """event(os.environ["CUDA_VISIBLE_DEVICES"])
wait_for(f"go_{me}")
write_text(f"results/s/{me}.txt", "")
"""


@pytest.fixture
def project(tmp_path) -> Project:
    made = Project(tmp_path / "project")
    made.script("slow", SLOW)
    made.script("show", SHOW)
    (made.root / "extra.txt").write_text("1")
    return made


def orphan_and_successor(project: Project, change: str) -> tuple[subprocess.Popen, subprocess.Popen]:
    """Two processes of one job, the second of which waits for the first; something may change between their starts."""
    orphan = project.start("slow", DATA, ["extra.txt"], cfg={"same": True, "k": 8}, ME="orphan")
    until(lambda: project.events() == ["orphan begins"])
    if change == "code":
        project.script("slow", SLOW + "a_new_line = 1\n")
    if change == "input":
        (project.root / "extra.txt").write_text("2")
    cfg = {"same": True, "k": 16 if change == "settings" else 8}
    successor = project.start("slow", DATA, ["extra.txt"], cfg=cfg, ME="successor")
    until(lambda: "waiting: the outputs are in use by process" in project.log("slow").read_text())
    return orphan, successor


def test_a_successor_waits_for_the_orphan_by_name_and_takes_over_what_it_finished(project):
    orphan, successor = orphan_and_successor(project, "nothing")
    assert f"process {orphan.pid} on" in project.log("slow").read_text()
    assert project.events() == ["orphan begins"] and not (project.results / "data.txt").exists()
    (project.root / "go_orphan").touch()
    assert orphan.wait(20) == 0
    ended = project.end(successor, "slow")
    assert ended.status == 0 and "taken over" in ended.log
    assert project.events() == ["orphan begins", "orphan ends"]


@pytest.mark.parametrize("change", ["settings", "code", "input"])
def test_nothing_is_taken_over_from_an_orphan_with_anything_else(project, change):
    orphan, successor = orphan_and_successor(project, change)
    for name in ("go_orphan", "go_successor"):
        (project.root / name).touch()
    assert orphan.wait(20) == 0 and project.end(successor, "slow").status == 0
    assert project.events() == ["orphan begins", "orphan ends", "successor begins", "successor ends"]


@pytest.mark.parametrize("damage", ["deleted", "altered", "more asked for"])
def test_nothing_is_taken_over_where_outputs_are_not_whole(project, damage):
    assert project.make(1).status == 0
    path, wanted = project.results / "data.txt", ["results/s/data.txt"]
    if damage == "deleted":
        path.unlink()
    elif damage == "altered":
        path.write_text("version 2")
    else:
        wanted.append("results/s/more.txt")
        (project.results / "more.txt").touch()
    ended = project.run("make", wanted, cfg={"version": 1, "seed": 5})
    assert ended.status == 0 and "taken over" not in ended.log and path.read_text() == "version 1"


def test_the_lock_of_a_dead_process_blocks_nobody(project):
    killed = project.start("slow", DATA, cfg={"same": True}, ME="killed")
    until(lambda: project.events() == ["killed begins"])
    killed.kill()
    killed.communicate()
    (project.root / "go_next").touch()
    ended = project.run("slow", DATA, cfg={"same": True}, ME="next")
    assert ended.status == 0 and "waiting" not in ended.log
    assert project.events() == ["killed begins", "next begins", "next ends"]


def test_jobs_whose_names_differ_after_a_dot_do_not_wait_for_each_other(project):
    first = project.start("slow", DATA, cfg={"same": True}, log="l1.5_seed0", ME="first")
    until(lambda: project.events() == ["first begins"])
    (project.root / "go_second").touch()
    ended = project.run("slow", DATA, cfg={"same": True}, log="l1.7_seed1", ME="second")
    assert ended.status == 0 and "waiting" not in ended.log
    first.kill()
    first.communicate()


def test_jobs_take_distinct_free_processors_and_wait_where_all_are_taken(project):
    def start(name):
        output = [f"results/s/{name}.txt"]
        return project.start("show", output, log=name, options=["--gpu", "1"], ME=name, CUDA_VISIBLE_DEVICES="4,7")

    first, second = start("a"), start("b")
    until(lambda: len(project.events()) == 2)
    devices = dict(line.split() for line in project.events())
    assert set(devices.values()) == {"4", "7"}
    third = start("c")
    until(lambda: project.log("c").exists() and "waiting for 1 of the graphics" in project.log("c").read_text())
    assert "4, 7" in project.log("c").read_text() and len(project.events()) == 2
    for name in ("go_c", "go_a"):
        (project.root / name).touch()
    assert first.wait(20) == third.wait(20) == 0
    assert project.events()[2] == f"c {devices['a']}"
    second.kill()  # its processor is free at once
    second.communicate()
    (project.root / "go_d").touch()
    assert start("d").wait(20) == 0 and "waiting" not in project.log("d").read_text()


def test_jobs_of_one_allocation_take_distinct_processors_and_another_allocation_waits_for_none(project):
    def start(name, allocation):
        variables = {"ME": name, "CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_ID": allocation}
        return project.start("show", [f"results/s/{name}.txt"], log=name, options=["--gpu", "1"], **variables)

    running = [start("a", "17"), start("b", "17"), start("c", "18"), start("d", "18")]
    until(lambda: len(project.events()) == 4)
    devices = dict(line.split() for line in project.events())
    assert {devices["a"], devices["b"]} == {devices["c"], devices["d"]} == {"0", "1"}
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("n", "variables", "devices", "expected"),
    [
        (0, {"CUDA_VISIBLE_DEVICES": "0,1"}, 2, ""),
        (1, {"CUDA_VISIBLE_DEVICES": "0,1", "RLGEN_DEVICE": "cpu"}, 2, ""),
        (1, {"CUDA_VISIBLE_DEVICES": "0,1", "RLGEN_DEVICE": "auto"}, 2, "0"),
        (2, {"CUDA_VISIBLE_DEVICES": "3, 1"}, 4, "3,1"),
        (2, {"CUDA_VISIBLE_DEVICES": "1"}, 4, "1"),
        (2, {"CUDA_VISIBLE_DEVICES": "1,1"}, 4, "1"),
        (2, {"CUDA_VISIBLE_DEVICES": "1,-1,2"}, 4, "1"),
        (1, {"CUDA_VISIBLE_DEVICES": "MIG-GPU-8a/1/0"}, 1, "MIG-GPU-8a/1/0"),
        (1, {"CUDA_VISIBLE_DEVICES": ""}, 2, ""),
        (2, {}, 3, "0,1"),
        (1, {}, 0, ""),
        (1, {"CUDA_VISIBLE_DEVICES": "2,3", "SLURM_JOB_ID": "17"}, 4, "2"),  # an allocation for several jobs
        (2, {"CUDA_VISIBLE_DEVICES": "2,3", "SLURM_JOB_ID": "17"}, 4, "2,3"),
        (1, {"SLURM_JOB_ID": "17"}, 2, "0"),
        (0, {"CUDA_VISIBLE_DEVICES": "2,3", "SLURM_JOB_ID": "17"}, 4, ""),
    ],
)
def test_what_a_job_sees_of_the_processors(monkeypatch, tmp_path, n, variables, devices, expected):
    for name in ("CUDA_VISIBLE_DEVICES", "RLGEN_DEVICE", "SLURM_JOB_ID"):
        monkeypatch.setenv(name, "")  # so that it is put back even where graphics() sets it
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(claims.tempfile, "gettempdir", lambda: str(tmp_path))
    # A container that was given processors 3, 5, ... has only their files; CUDA counts what is there.
    names = [*(f"/dev/nvidia{3 + 2 * i}" for i in range(devices)), "/dev/nvidiactl", "/dev/nvidia-uvm"]
    monkeypatch.setattr(claims.Path, "glob", lambda *_: map(Path, names))
    with claims.graphics(n):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == expected
        held = [path for path in os.listdir(tmp_path) if path.startswith("rlgen-gpu-")]
        given = "SLURM_JOB_ID" in variables and variables.get("CUDA_VISIBLE_DEVICES") == expected  # by SLURM
        claimed = 0 if n == 0 or given else len(list(filter(None, expected.split(","))))
        assert len(held) == claimed


def test_a_claim_is_free_again_after_its_block_and_while_held_is_nobody_elses(tmp_path):
    path = tmp_path / "deep/x.lock"
    code = "import sys; from rlgen.jobs.claims import taken; print(taken(open(sys.argv[1], 'a+')))"

    def free() -> str:
        call = [sys.executable, "-c", code, str(path)]
        return subprocess.run(call, cwd=SCRIPTS, check=True, capture_output=True, text=True).stdout.strip()

    with claims.claim(path, "x is"):
        assert free() == "False" and f"process {os.getpid()} on" in claims.holder(path)
    assert free() == "True"
    path.write_text("nonsense")
    assert claims.holder(path) == "another process"


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(claims.fcntl, "flock", none)
    words = r"x\.lock: its file system keeps no locks; mount it with locks"
    with pytest.raises(ArtifactError, match=words), claims.claim(tmp_path / "x.lock", "x is"):
        pass
