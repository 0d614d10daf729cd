"""Claims on what only one job at a time may use: the files it writes, and graphics processors.

A claim is a lock that the kernel keeps for a process and drops when the process ends, however it ends. Claims on files
work between the nodes of a cluster where the file system passes locks on (NFS, Lustre with `-o flock`).
"""

import errno
import fcntl
import json
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from pathlib import Path

from rlgen.files import ArtifactError

LOCKS = ".jobs/locks"  # in a study's results: one lock per job, named like its log
POLL_S = 1.0
ALLOCATION = "SLURM_JOB_ID"
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextmanager
def claim(path: Path, what: str) -> Iterator[None]:
    """Hold `path` for this process alone; waits, and says for whom, while another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        if not taken(file):
            print(f"waiting: {what} in use by {holder(path)}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        sign(file)
        yield


def taken(file) -> bool:
    """Whether the lock on an open file could be taken at once. Raises ArtifactError where its place has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        remedy = "mount it with locks (Lustre: `-o flock`), or keep the project on another one"
        raise ArtifactError(file.name, "its file system keeps no locks", remedy) from error
    return True


def sign(file) -> None:
    """Write into a lock's file who holds it."""
    file.truncate(0)
    file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}))
    file.flush()


def holder(path: Path) -> str:
    """Who holds a lock, in words."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return f"process {found['pid']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


@contextmanager
def graphics(n: int) -> Iterator[None]:
    """`n` graphics processors for this process: sets CUDA_VISIBLE_DEVICES before CUDA is asked for any.

    0, or the machine setting `device: cpu`, hides them all: the job computes on the CPU. Otherwise the first free ones
    are claimed, among those that CUDA_VISIBLE_DEVICES allows; a job that finds too few waits. What SLURM has chosen for
    one job is left alone: as many as it asks for. Where more are visible, the allocation holds a whole workflow, whose
    jobs would otherwise all take the first. Where no processor is, nothing is claimed.
    """
    with ExitStack() as held:
        allowed = visible()
        if n == 0 or not allowed or os.environ.get("RLGEN_DEVICE") == "cpu":
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        elif ALLOCATION not in os.environ or len(allowed) > n:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(_first_free(allowed, min(n, len(allowed)), held))
        yield


def visible() -> list[str]:
    """Names of the processors that this process may use: of CUDA_VISIBLE_DEVICES, or one per device of the driver.

    A name that CUDA does not know ends its list; in a container that holds only /dev/nvidia3, CUDA calls that one 0.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        names = (name.strip() for name in named.split(","))
        return list(dict.fromkeys(takewhile(lambda name: name not in ("", "-1"), names)))
    return [str(i) for i, _ in enumerate(p for p in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", p.name))]


def _first_free(allowed: list[str], n: int, held: ExitStack) -> list[str]:
    """Claim `n` of the allowed processors.

    Locks lie in the machine's temporary folder, one per user and processor, and per allocation: SLURM counts the
    processors of each from 0.
    """
    owner = "-".join([str(os.getuid()), *filter(None, [os.environ.get(ALLOCATION)])])
    said = False
    while True:
        mine = ExitStack()
        found = []
        for name in allowed:
            path = Path(tempfile.gettempdir()) / f"rlgen-gpu-{owner}-{name.replace('/', '-')}.lock"
            file = mine.enter_context(path.open("a+", encoding="utf-8"))
            if taken(file):
                found.append(name)
                sign(file)
            if len(found) == n:
                held.enter_context(mine)
                return found
        mine.close()
        if not said:
            print(f"waiting for {n} of the graphics processors {', '.join(allowed)}", file=sys.stderr, flush=True)
            said = True
        time.sleep(POLL_S)
