"""Two Snakemakes in one folder, and a folder whose Snakemake was killed, with a stand-in for the first job."""

import os
import signal
import subprocess
import time
from pathlib import Path
from subprocess import STDOUT

import pytest
from snakemake_runs import RESULTS, SNAKEMAKE, STUDY, copy_project, environment, snakemake

SLOW = '''"""Stand-in: says that it runs, and takes its time while a file asks for it."""
import argparse
import os
import time
from pathlib import Path

from rlgen.files import write_text

parser = argparse.ArgumentParser()
parser.add_argument("--cfg")
parser.add_argument("--output", type=Path)
args = parser.parse_args()
write_text("started", str(os.getpid()))
while Path("slow").exists():
    time.sleep(0.1)
for name in ("tokenizer.json", "tokenizer_config.json"):
    write_text(args.output / name, args.cfg)
'''
TARGET = f"{RESULTS}/data/tokenizer/tokenizer.json"
CALL = ["--configfile", STUDY, "--", TARGET]
SECONDS = 60  # to wait for what takes a moment


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the project whose first job takes as long as the file `slow` is there."""
    copy_project(tmp_path)
    (tmp_path / STUDY).write_text((tmp_path / "tests/workflow/miniature.yaml").read_text())
    (tmp_path / "scripts/data/make_tokenizer.py").write_text(SLOW)
    (tmp_path / "slow").touch()
    return tmp_path


@pytest.fixture
def running(folder):
    """A Snakemake that has started its job. Ends with the test."""
    with (folder / "first.log").open("w") as log:
        call = [SNAKEMAKE, "--cores", "1", *CALL]
        process = subprocess.Popen(call, cwd=folder, env=environment(), stdout=log, stderr=STDOUT)
    wait_for(lambda: (folder / "started").exists())
    yield process
    (folder / "slow").unlink(missing_ok=True)
    process.kill()
    process.wait()


def wait_for(what) -> None:
    end = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def gone(pid: int) -> bool:
    """Whether a process has ended, if only as a zombie that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_second_snakemake_is_refused_by_name_and_loses_nothing(folder, running):
    second = snakemake(folder, *CALL)
    assert second.returncode != 0
    assert f"another Snakemake is at work in this folder: process {running.pid}" in second.stdout
    assert "Traceback" not in second.stdout and "--unlock" not in second.stdout
    assert snakemake(folder, "-n", *CALL).returncode == 0
    (folder / "slow").unlink()
    assert running.wait(SECONDS) == 0 and (folder / TARGET).exists()


def test_after_a_kill_the_orphan_ends_and_the_same_command_goes_on(folder, running):
    job = int((folder / "started").read_text())
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    wait_for(lambda: gone(job))
    assert not (folder / TARGET).exists()
    (folder / "slow").unlink()
    again = snakemake(folder, *CALL)
    assert again.returncode == 0 and "its lock is released" in again.stdout, again.stdout
    assert (folder / TARGET).exists() and "Nothing to be done" in snakemake(folder, *CALL).stdout


def test_a_successor_waits_for_an_orphan_that_still_writes(folder, running):
    job = int((folder / "started").read_text())
    os.kill(job, signal.SIGSTOP)  # an orphan that cannot notice that its engine is gone
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    (folder / "slow").unlink()
    (folder / "started").unlink()
    call = [SNAKEMAKE, "--cores", "1", *CALL]
    with subprocess.Popen(call, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=STDOUT) as next_run:
        log = folder / RESULTS / "logs/make_tokenizer.log"
        wait_for(lambda: log.exists() and "waiting: the outputs are in use by process" in log.read_text())
        assert not (folder / "started").exists()
        os.kill(job, signal.SIGCONT)
        assert next_run.wait(SECONDS) == 0
    assert (folder / TARGET).exists() and gone(job)
