"""Jobs: they end with their engine, resume from their own states only, say in a line what a person can mend."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import Project, until

from rlgen.jobs.run import clear_states

FOREVER = 'event("begins")\nwait_for("never")\n'
OUT = ["results/s/out.txt"]
# Keeps its state, then stands still as long as a file `stop` is there.
RESUMABLE = """event("from the state" if (args.state / "kept").exists() else "from the beginning")
write_text(args.state / "kept", "1")
Path(args.state / ".state.77.partial.safetensors").touch()
event("kept")
while Path("stop").exists():
    time.sleep(0.01)
write_text("results/s/out.txt", "done")
"""


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path / "project")


def sleeper() -> subprocess.Popen:
    """A process in the place of the engine."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


@pytest.mark.parametrize("reaped", [True, False])
def test_a_job_ends_with_its_engine(project, reaped):
    """Also where nobody asks how the engine ended, as in a container without an init process."""
    project.script("forever", FOREVER)
    engine = sleeper()
    job = project.start("forever", OUT, RLGEN_ENGINE=str(engine.pid))
    until(lambda: project.events() == [" begins"])
    waiting = project.start("forever", OUT, RLGEN_ENGINE=str(engine.pid))
    until(lambda: "waiting" in project.log("forever").read_text())
    assert job.poll() is None
    engine.kill()
    if reaped:
        engine.wait()
    assert job.wait(20) == waiting.wait(20) == -9
    assert "the workflow engine that started this job is gone" in project.log("forever").read_text()
    engine.wait()
    job.communicate()
    waiting.communicate()


def test_a_job_whose_engine_is_gone_at_its_start_ends_too(project):
    project.script("forever", FOREVER)
    engine = sleeper()
    engine.kill()
    engine.wait()
    job = project.start("forever", OUT, RLGEN_ENGINE=str(engine.pid))
    assert job.wait(20) == -9
    job.communicate()


def test_a_job_without_an_engine_runs_to_its_end(project):
    project.script("quick", 'time.sleep(1.5)\nwrite_text("results/s/out.txt", "")\n')
    assert project.run("quick", OUT).status == 0


ONE_LINE = {
    'raise ArtifactError("results/s/x.txt", "cut short")': "results/s/x.txt: cut short; delete it and run snakemake",
    'raise OSError(28, "No space left on device", "out.txt")': "out.txt: No space left on device; free some space",
    'raise OSError(28, "No space left on device")': "a file of this job: No space left on device; free some space",
    'raise OSError(30, "Read-only file system", "out.txt")': "out.txt: Read-only file system; make it writable",
    'raise RuntimeError("I/O error: No space left on device (os error 28)")': "No space left on device; free some",
    'raise SystemExit("the tokenizer has no words")': "the tokenizer has no words",
    "pass": "results/s/out.txt: the job ended without it (No such file or directory); run the job again",
}


@pytest.mark.parametrize("body", ONE_LINE)
def test_what_a_person_can_mend_ends_in_one_line(project, body):
    project.script("fails", f'print("said before")\n{body}\n')
    ended = project.run("fails", OUT)
    assert ended.status == 1 and "Traceback" not in ended.log and ended.terminal == ""
    assert ended.log.splitlines()[-1].startswith("error: ") and ONE_LINE[body] in ended.log.splitlines()[-1]
    assert not project.manifest("fails").exists()


def test_a_full_disk_under_the_manifest_ends_in_one_line(project):
    full = "def full(path, value):\n    raise OSError(28, 'No space', str(path))\n"
    project.script(
        "out",
        full + "import rlgen.jobs.run\nrlgen.jobs.run.write_json = full\n" + 'write_text("results/s/out.txt", "")\n',
    )
    ended = project.run("out", OUT)
    assert ended.status == 1 and re.search(
        r"manifests/out(\.run)?\.json: No space left on device; free some", ended.log.splitlines()[-1]
    )


def test_a_log_on_a_full_disk_leaves_the_error_to_the_terminal(project):
    project.log("fails").parent.mkdir(parents=True)
    project.log("fails").symlink_to("/dev/full")
    project.script("fails", 'raise OSError(28, "No space left on device", "out.txt")\n')
    process = project.start("fails", OUT)
    _, terminal = process.communicate()
    assert process.returncode != 0
    assert terminal.startswith("error: ") and "No space left on device; free some space" in terminal


def test_a_bug_keeps_its_traceback_and_a_status_its_number(project):
    project.script("fails", "1 / 0\n")
    ended = project.run("fails", OUT)
    assert ended.status == 1 and "Traceback" in ended.log and ended.log.rstrip().endswith("division by zero")
    project.script("fails", "raise OSError(2, 'No such file or directory', 'x')\n")
    assert "Traceback" in project.run("fails", OUT).log
    project.script("fails", "raise SystemExit(3)\n")
    assert project.run("fails", OUT).status == 3


def test_a_script_that_leaves_early_and_content_is_done(project):
    project.script("early", 'write_text("results/s/out.txt", "")\nraise SystemExit(0)\n')
    assert project.run("early", OUT).status == 0 and project.manifest("early").exists()


def test_code_edited_after_the_engine_read_it_is_said_and_told_as_it_ran(project):
    assert "the code was edited" in project.make().log
    code = json.loads(project.manifest("make").read_text())["code"]
    assert code != "0" * 16
    ended = project.make(2, options=["--code", code])
    assert "edited" not in ended.log and (project.results / f"manifests/code/{code}.json").exists()


def attempt(project: Project, cfg: dict, killed: bool) -> str:
    """One run of the resumable script, killed once its state is kept, or to its end; returns what the log says."""
    if killed:
        (project.root / "stop").touch()
    kept = project.events().count(" kept")
    job = project.start("resumable", OUT, cfg=cfg, options=["--resumable"])
    if killed:
        until(lambda: project.events().count(" kept") == kept + 1)
        job.kill()
        (project.root / "stop").unlink()
    return project.end(job, "resumable").log


def states(project: Project) -> list[Path]:
    return sorted((project.results / ".jobs/states/resumable").glob("*"))


def test_a_killed_job_goes_on_from_its_state_and_drops_what_it_left_half_written(project):
    project.script("resumable", RESUMABLE)
    attempt(project, {"k": 8}, killed=True)
    (state,) = states(project)
    assert [path.name for path in state.glob(".*.partial*")] == [".state.77.partial.safetensors"]
    (state / ".state.78.partial.safetensors").touch()
    assert "not used" not in attempt(project, {"k": 8}, killed=False)
    assert project.events() == [" from the beginning", " kept", " from the state", " kept"]
    assert states(project) == [state] and not (state / ".state.78.partial.safetensors").exists()
    assert (project.results / "out.txt").read_text() == "done"


@pytest.mark.parametrize("change", ["settings", "code", "input", "packages", "broken note", "older note", "no note"])
def test_a_state_of_anything_else_is_refused_in_words_and_removed(project, change):
    project.script("resumable", RESUMABLE)
    attempt(project, {"k": 8}, killed=True)
    (state,) = states(project)
    cfg, note, words = {"k": 8}, state / "made_of.json", ""
    if change == "settings":
        cfg, words = {"k": 16}, "k was 8, is 16"
    elif change == "code":
        project.script("resumable", RESUMABLE + "a_new_line = 1\n")
        words = "script was edited"
    elif change == "packages":
        text = "dependencies:\n  - pip:\n      - numpy==0.1\n      - nowhere-to-be-found==3\n"
        (project.root / "envs/tiny.yaml").write_text(text)
        words = "nowhere-to-be-found was not used, is absent"
    elif change == "input":
        old = note.read_text()
        note.write_text(old.replace('"inputs": {}', '"inputs": {"a.txt": "0"}'))
        assert note.read_text() != old
        state = state.rename(state.with_name("f" * 16))
        words = "a.txt has other content"
    else:
        state = state.rename(state.with_name("f" * 16))
        note, words = state / "made_of.json", "it does not say what it belongs to"
        note.write_text({"broken note": '{"cfg', "older note": '{"code": "0"}', "no note": ""}[change])
    log = attempt(project, cfg, killed=False)
    assert f"state of an earlier attempt not used: {words}" in log
    assert project.events() == [" from the beginning", " kept"] * 2 and not state.exists()


def test_a_script_that_keeps_no_state_is_given_none(project):
    project.script("plain", 'assert args.state is None\nwrite_text("results/s/out.txt", "")\n')
    assert project.run("plain", OUT).status == 0
    assert not (project.results / ".jobs/states").exists()


def test_only_states_of_finished_jobs_are_cleared(project):
    project.script("resumable", RESUMABLE)
    attempt(project, {"k": 8}, killed=False)
    (done,) = states(project)
    other = project.results / ".jobs/states/pretrain/base_seed0/0123456789abcdef"
    other.mkdir(parents=True)
    (other / "made_of.json").write_text((done / "made_of.json").read_text())
    clear_states(project.results)
    assert not done.exists() and other.exists()  # the other job has no manifest
    attempt(project, {"k": 16}, killed=True)
    (unfinished,) = states(project)
    clear_states(project.results)  # the job's manifest is that of the run before
    assert unfinished.exists()


def test_what_killed_attempts_left_is_removed_and_what_others_are_writing_is_not(project):
    project.script("save", 'write_text("results/s/m/c1/model.x.bin", "")\nwrite_text("results/s/m/curves.csv", "")\n')
    folder = project.results / "m"
    ours = ["c1/.model.x.12.partial.bin", ".curves.3.partial.csv", ".c1-ab12cd_9/model.x.bin"]
    others = ["c1/.model.12.partial.bin", "c1/.model.x.y.12.partial.bin", ".curves.3.partial.parquet", ".curves.csv"]
    others += ["c1/.mine.partial", ".c12-ab12cd_9/model.x.bin", ".checkpoint7-ab12cd_9/model.x.bin", ".c1-mine/kept"]
    for name in [*ours, *others]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert project.run("save", ["results/s/m/c1/model.x.bin", "results/s/m/curves.csv"]).status == 0
    assert [name for name in ours if (folder / name).exists()] == []
    assert [name for name in others if not (folder / name).exists()] == []
