"""One job of the workflow, from the lock on its outputs to its manifest (docs/freshness.md).

Around the script of a rule: claim the outputs, so that an orphan of a killed run and its successor never write them
at once; check the inputs against their makers' manifests; take over what an orphan has finished meanwhile; point the
script to the state of an interrupted attempt with the same settings, code, packages and data; write the manifest.
"""

import errno
import json
import os
import re
import runpy
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from rlgen import manifests
from rlgen.claims import claim, graphics
from rlgen.code_digest import code_digests
from rlgen.differences import differences
from rlgen.files import ArtifactError, digest, write_json
from rlgen.packages import installed

ENGINE = "RLGEN_ENGINE"  # environment variable: process id of the workflow engine that started this job
WATCH_S = 1.0
OUT_OF_REACH = {errno.ENOSPC: "free some space", errno.EDQUOT: "free some space", errno.EROFS: "make it writable"}


@dataclass(frozen=True)
class Job:
    """What the engine says about a job. Paths are relative to the project, which is the working directory."""

    script: Path
    environment: str
    code: str  # digest of the script and its modules
    results: Path
    log: Path
    gpu: int
    inputs: list[str]
    outputs: list[str]
    resumable: bool

    @property
    def name(self) -> str:
        """Path of the job's log within the study's logs, without its ending: names manifest, lock and state."""
        return str(self.log.relative_to(self.results / "logs").with_suffix(""))

    @property
    def manifest(self) -> Path:
        return self.results / manifests.FOLDER / f"{self.name}.json"

    def beside(self, kind: str) -> Path:
        """Place of what only running jobs need: `locks`, `states`."""
        return self.results / ".jobs" / kind / self.name


def run(job: Job, arguments: list[str]) -> int:
    """Run a job; returns its exit status. Problems that a person can solve end in one line, others in a traceback."""
    _follow_engine()
    try:
        with claim(job.beside("locks").with_suffix(".lock"), "the outputs are"), graphics(job.gpu):
            _run_claimed(job, arguments)
    except ArtifactError as error:
        return _fail(str(error))
    except OSError as error:
        if error.errno not in OUT_OF_REACH:
            traceback.print_exc()
            return 1
        place = error.filename2 or error.filename or "a file of this job"
        return _fail(f"{place}: {error.strerror}; {OUT_OF_REACH[error.errno]}, then run the same command again")
    except SystemExit as end:
        if isinstance(end.code, str):
            return _fail(end.code)
        return int(end.code or 0)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _run_claimed(job: Job, arguments: list[str]) -> None:
    facts = made_of(job, arguments)
    earlier = manifests.read(job.manifest)
    if earlier and {key: earlier.get(key) for key in facts} == facts and manifests.whole(earlier["outputs"]):
        print("finished meanwhile by a job of an earlier run, with the same settings, code and data: taken over")
        return
    _clear_partial(job.outputs)
    if job.resumable:
        arguments = [*arguments, "--state", str(_state(job, facts))]
    started = time.time()
    _run_script(job.script, arguments)
    write_json(job.manifest, facts | {"outputs": manifests.outputs(job.outputs)})
    facts_of_run = {
        "host": socket.gethostname(),
        "start": time.strftime("%F %T %z", time.localtime(started)),
        "wall_s": round(time.time() - started, 1),
    }
    write_json(job.manifest.with_suffix(manifests.RUN), facts_of_run)


def made_of(job: Job, arguments: list[str]) -> dict:
    """What decides the outputs' bytes: the content of the manifest without the outputs."""
    cfg = json.loads(arguments[arguments.index("--cfg") + 1])
    return {
        "script": job.script.stem,
        "cfg": cfg,
        "seed": cfg.get("seed"),
        "code": _code(job),
        "environment": job.environment,
        "packages": installed(Path.cwd(), job.environment),
        "inputs": manifests.verified(job.inputs, job.results),
    }


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
    folder, key = job.beside("states"), digest(facts)[:16]
    for other in folder.glob("*"):
        if other.name != key:
            try:
                why = "; ".join(differences(json.loads((other / "made_of.json").read_text()), facts, job.results))
            except (OSError, ValueError):
                why = "it does not say what it belongs to"
            print(f"state of an earlier attempt not used: {why}", file=sys.stderr)
            shutil.rmtree(other, ignore_errors=True)
    if not (folder / key / "made_of.json").exists():
        write_json(folder / key / "made_of.json", facts)
    return folder / key


def clear_states(results: Path) -> None:
    """Remove the states of all jobs that have finished since."""
    for noted in list(results.glob(".jobs/states/**/made_of.json")):  # before the first of them goes
        job = noted.parent.parent.relative_to(results / ".jobs" / "states")
        done = manifests.read(results / manifests.FOLDER / f"{job}.json")
        if done is not None and digest({k: v for k, v in done.items() if k != "outputs"})[:16] == noted.parent.name:
            shutil.rmtree(noted.parent, ignore_errors=True)


def _clear_partial(outputs: list[str]) -> None:
    """Remove what a killed attempt left half written beside the outputs, which are claimed."""
    for folder in {Path(name).parent for name in outputs}:
        for left in [*folder.glob(".*.partial*"), *folder.glob(".checkpoint*-*")]:
            if re.match(r"\.(.+)\.\d+\.partial", left.name) and not _ours(left, outputs):
                continue
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _ours(partial: Path, outputs: list[str]) -> bool:
    """Whether a half-written file was to become one of these outputs: other jobs may write into the same folder."""
    stem, suffix = re.match(r"\.(.+)\.\d+\.partial(.*)", partial.name).groups()
    return str(partial.with_name(stem + suffix)) in outputs


def _run_script(script: Path, arguments: list[str]) -> None:
    """Run the script in this process, as `python script arguments` would."""
    sys.argv = [str(script), *arguments]
    sys.path[0] = str(script.parent)
    runpy.run_path(str(script), run_name="__main__")


def _follow_engine() -> None:
    """End this process when the engine that started it is gone: its successor will start the job anew."""
    engine = os.environ.get(ENGINE, "")
    if engine.isdecimal() and "SLURM_JOB_ID" not in os.environ:
        born = _born(int(engine))
        threading.Thread(target=_watch, args=(int(engine), born), daemon=True).start()


def _watch(engine: int, born: str | None) -> None:
    while _born(engine) == born:
        time.sleep(WATCH_S)
    print("the workflow engine that started this job is gone: stopping", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)  # whatever the script is doing


def _born(pid: int) -> str | None:
    """When a process started, as far as the system tells; None where there is no such process."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except ProcessLookupError:
        return None
    except OSError:  # no /proc here, or another user's process: it lives
        return ""


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1
