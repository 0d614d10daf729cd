"""One job of the workflow, from the lock on its outputs to its manifest (docs/freshness.md).

Around the script of a rule: claim the outputs, so that an orphan of a killed run and its successor never write them
at once; check the inputs against their makers' manifests; take over what an orphan has finished meanwhile; point the
script to the state of an interrupted attempt with the same settings, code, packages and data; write the manifest.
"""

import errno
import glob
import json
import os
import re
import resource
import shutil
import socket
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rlgen.files import ArtifactError, digest, write_json
from rlgen.jobs import launch, manifests
from rlgen.jobs.claims import LOCKS, claim, graphics
from rlgen.jobs.code import code_digests
from rlgen.jobs.differences import differences
from rlgen.jobs.orphans import follow_engine
from rlgen.jobs.packages import used

REMEDIES = {errno.ENOSPC: "free some space", errno.EDQUOT: "free some space", errno.EROFS: "make it writable"}
PARTIAL = re.compile(r"\.(.+)\.\d+\.partial(.*)")  # what `rlgen.files.atomic_path` writes to


@dataclass(frozen=True)
class Job:
    """What the engine says about a job. Paths are relative to the working directory, which may lie elsewhere."""

    script: Path
    environment: str
    code: str  # digest of the script and its modules
    results: Path
    log: Path
    gpu: int
    inputs: list[str]
    outputs: list[str]
    resumable: bool
    processes: int

    @property
    def name(self) -> str:
        """Path of the job's log within the study's logs, without its ending: names manifest, lock and state."""
        return str(self.log.relative_to(self.results / "logs").with_suffix(""))

    @property
    def manifest(self) -> Path:
        return self.results / manifests.FOLDER / f"{self.name}.json"

    @property
    def lock(self) -> Path:
        return self.results / LOCKS / f"{self.name}.lock"

    @property
    def states(self) -> Path:
        return self.results / ".jobs/states" / self.name


def run(job: Job, arguments: list[str]) -> int:
    """Run a job; returns its exit status. Problems that a person can solve end in one line, others in a traceback."""
    follow_engine()
    terminal = os.dup(2)
    try:
        _speak_into(job.log)
        with claim(job.lock, "the outputs are"), graphics(job.gpu):
            _run_claimed(job, arguments)
    except ArtifactError as error:
        return _fail(str(error), terminal)
    except SystemExit as end:
        return _fail(end.code, terminal) if isinstance(end.code, str) else end.code
    except Exception as error:
        problem = _file_system(error)
        if problem:
            return _fail(problem, terminal)
        traceback.print_exc()
        return 1
    return 0


def _speak_into(log: Path) -> None:
    """Send all that this process says to a file, line by line, so that the error comes last."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    for stream in (sys.stdout, sys.stderr):  # whatever the locale; half a character of a model's text stops no job
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _file_system(error: Exception) -> str | None:
    """What a full or read-only file system did, in words; None for any other error."""
    told = re.search(r"\(os error (\d+)\)", str(error))  # so safetensors and tokenizers report the system's errors
    number = int(told[1]) if told else getattr(error, "errno", None)
    if number not in REMEDIES:
        return None
    place = getattr(error, "filename2", None) or getattr(error, "filename", None) or "a file of this job"
    return f"{place}: {os.strerror(number)}; {REMEDIES[number]}, then run the same command again"


def _run_claimed(job: Job, arguments: list[str]) -> None:
    facts = made_of(job, arguments)
    earlier = manifests.read(job.manifest)
    if earlier and _made_of(earlier) == facts and manifests.whole(earlier["outputs"], job.outputs):
        print("finished meanwhile by a job of an earlier run, with the same settings, code and data: taken over")
        return
    sidecar = job.manifest.with_suffix(manifests.RUN)
    _clear_leftovers({*map(Path, job.outputs), job.manifest, sidecar})
    if job.resumable:
        arguments = [*arguments, "--state", str(_state(job, facts))]
    started = time.time()
    if job.processes > 1:
        launch.run(job.script, arguments, job.processes)
    else:
        _run_script(job.script, arguments)
    outputs = manifests.outputs(job.outputs)
    facts_of_run = {
        "host": socket.gethostname(),
        "start": time.strftime("%F %T %z", time.localtime(started)),
        "wall_s": round(time.time() - started, 1),
        "written_ns": {name: os.stat(name).st_mtime_ns for name in job.outputs},
        "inputs_again": sorted((Counter(job.inputs) - Counter(set(job.inputs))).elements()),
    } | _used()
    write_json(sidecar, facts_of_run)  # first: dates that no manifest goes with say nothing
    write_json(job.manifest, facts | {"outputs": outputs})


def _used() -> dict[str, float]:
    """CPU time and peak memory of this process so far, and of what it has started and waited for."""
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss: bytes on macOS, else KiB
    cpu_s = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
    return {"cpu_s": round(cpu_s, 1), "peak_mb": round(max(own.ru_maxrss, others.ru_maxrss) / unit, 1)}


def made_of(job: Job, arguments: list[str]) -> dict:
    """What decides the outputs' bytes: the content of the manifest without the outputs."""
    cfg = json.loads(arguments[arguments.index("--cfg") + 1])
    return {
        "script": job.script.stem,
        "cfg": cfg,
        "seed": cfg.get("seed"),
        "code": _code(job),
        "environment": job.environment,
        "inputs": manifests.verified(job.inputs, job.results),
    } | used(launch.PACKAGES.parent, job.environment)


def _made_of(manifest: dict) -> dict:
    """A manifest without what the job then made."""
    return {key: value for key, value in manifest.items() if key != "outputs"}


def _code(job: Job) -> str:
    """Digest of the code that is about to run; the modules behind it are written down, so that edits can be named."""
    modules = code_digests(job.script)
    code = digest(modules)[:16]
    if code != job.code:
        print(
            "the code was edited after the workflow started; the next run will make these files again", file=sys.stderr
        )
    path = job.results / manifests.FOLDER / manifests.CODE / f"{code}.json"
    if not path.exists():
        write_json(path, modules)
    return code


def _state(job: Job, facts: dict) -> Path:
    """Folder for the state of this very run. States of other settings, code or data are refused and removed."""
    key = digest(facts)[:16]
    for other in job.states.glob("*"):
        if other.name != key:
            before = manifests.read(other / "made_of.json", of_a_job_done=False)
            why = "; ".join(differences(before, facts, job.results)) if before else "it does not say what it belongs to"
            print(f"state of an earlier attempt not used: {why}", file=sys.stderr)
            shutil.rmtree(other, ignore_errors=True)
    state = job.states / key
    for left in state.rglob(".*.partial*"):
        left.unlink(missing_ok=True)
    if not (state / "made_of.json").exists():
        write_json(state / "made_of.json", facts)
    return state


def clear_states(results: Path) -> None:
    """Remove the states of all jobs that have finished since."""
    for noted in list(results.glob(".jobs/states/**/made_of.json")):  # before the first of them goes
        job = noted.parent.parent.relative_to(results / ".jobs" / "states")
        done = manifests.read(results / manifests.FOLDER / f"{job}.json")
        if done is not None and digest(_made_of(done))[:16] == noted.parent.name:
            shutil.rmtree(noted.parent, ignore_errors=True)


def _clear_leftovers(claimed: set[Path]) -> None:
    """Remove what a killed attempt left of claimed files, half written: other jobs may be at work beside them."""
    for folder in {path.parent for path in claimed}:
        for left in folder.glob(".*.partial*"):
            parts = PARTIAL.fullmatch(left.name)
            if parts and left.with_name(parts[1] + parts[2]) in claimed:
                left.unlink(missing_ok=True)
        for left in folder.parent.glob(
            f".{glob.escape(folder.name)}-????????"
        ):  # of `rlgen.models.checkpoints.save_checkpoint`
            shutil.rmtree(left, ignore_errors=True)


def _run_script(script: Path, arguments: list[str]) -> None:
    """Run the script in this process; that it says how it ended is no fault where it ended well."""
    try:
        launch.become(script, arguments)
    except SystemExit as end:
        if end.code:
            raise


def _fail(message: str, terminal: int) -> int:
    """Say what is wrong: in the log, or on the terminal where the log takes no more."""
    try:
        print(f"error: {message}", file=sys.stderr)
    except OSError:
        os.write(terminal, f"error: {message}\n".encode())
    return 1
