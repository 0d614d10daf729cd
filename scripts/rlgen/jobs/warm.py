"""A job in a fork of a process that has imported torch and its like already: imports take seconds.

One such server (`rlgen.jobs.warm_server`) works for one run of Snakemake, on Linux; the first job that wants it starts
it, and it ends with the engine. The process that the engine started stays and stands for the fork: it passes on the
signals that it gets and the fork's exit status, and when it is killed the fork ends too. The fork begins when the other
says that it stands, so that no signal comes between.
Where anything about a server is not as it should be, the job runs in its own process instead.
"""

import fcntl
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

from rlgen.jobs.claims import visible
from rlgen.jobs.orphans import ENGINE, born

WARM = "RLGEN_WARM"  # environment variable: the engine lets jobs share imports
TABLES = ("pandas", "pyarrow.parquet", "pydantic.main")
MODELS = (
    *("torch", "transformers", "transformers.modeling_utils", "transformers.models.auto.modeling_auto"),
    *("transformers.tokenization_utils_tokenizers", "safetensors.torch", *TABLES),
)
PAGES = ("matplotlib.figure", "matplotlib.backends.backend_pdf", "matplotlib.backends.backend_agg", *TABLES)
PRELOADED = {
    "training": MODELS,
    "dictionaries": MODELS,
    "benchmarks": MODELS,
    "sources": MODELS,
    "analysis": PAGES,
}  # by environment; missing ones are skipped
PER_PROCESS = ("_", "SHLVL", "PWD", "OLDPWD")  # environment variables that say nothing about a job
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WAIT_S = 60.0  # for a server's answer: it may still be importing
YES, BEGIN = b"y", b"b"  # a server's answer; what starts its fork


def run_warm(environment: str, results: Path, gpu: int) -> int | None:
    """Run this very command in a fork of a server; its exit status, or None where no server took it."""
    engine = os.environ.get(ENGINE, "")
    if os.environ.get(WARM) != "1" or sys.platform != "linux" or not engine.isdecimal():
        return None
    if environment not in PRELOADED or (gpu and visible()):  # a fork cannot use a CUDA that its server has looked at
        return None
    place = results / ".jobs/warm" / f"{_name(environment, int(engine))}.sock"
    try:
        server = _connected(place, environment, int(engine))
    except OSError:  # no sockets or no locks here, or a path that is too long for a socket
        return None
    with server:
        return _stand_for_fork(server) if _accepted(server) else None


def variables() -> dict[str, str]:
    """The environment variables that a job and its server must share."""
    return {name: value for name, value in os.environ.items() if name not in PER_PROCESS}


def _name(environment: str, engine: int) -> str:
    """Names a server by all that it is bound to: the engine, when that started, the interpreter, what is loaded."""
    known = [engine, born(engine), sys.executable, PRELOADED[environment]]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]


def _connected(place: Path, environment: str, engine: int) -> socket.socket:
    """A connection to the server at `place`, which is started where there is none."""
    place.parent.mkdir(parents=True, exist_ok=True)
    client = socket.socket(socket.AF_UNIX)
    with open(place.with_suffix(".lock"), "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several first jobs one starts the server
        try:
            client.connect(str(place))
        except (FileNotFoundError, ConnectionRefusedError):
            place.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as listening:
                mask = os.umask(0o077)  # for this user alone
                try:
                    listening.bind(str(place))
                finally:
                    os.umask(mask)
                listening.listen(64)
                _start(listening, place, environment, engine)
            client.connect(str(place))
    return client


def _start(listening: socket.socket, place: Path, environment: str, engine: int) -> None:
    command = [
        sys.executable,
        "-m",
        "rlgen.jobs.warm_server",
        str(listening.fileno()),
        environment,
        str(engine),
        place.resolve(),
    ]
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)  # it outlives whoever reads a job's output
    subprocess.run(command, cwd=Path(__file__).parents[2], pass_fds=[listening.fileno()], check=False, **quiet)


def _accepted(server: socket.socket) -> bool:
    """Hand this process's command, place, variables and streams to the server; whether it has forked."""
    request = json.dumps({"argv": sys.argv, "cwd": os.getcwd(), "path": sys.path[0], "variables": variables()}).encode()
    server.settimeout(WAIT_S)
    try:
        socket.send_fds(server, [len(request).to_bytes(4, "big")], [0, 1, 2])
        server.sendall(request)
        return server.recv(1) == YES
    except OSError:
        return False
    finally:
        server.settimeout(None)


def _stand_for_fork(server: socket.socket) -> int:
    """Pass on signals, let the fork begin, wait until it has ended, and end as it did.

    Python itself writes the number of each signal into the socket when it comes, whatever this process is doing: a
    function would run only where Python looks for signals, which is not inside a wait that began a moment before.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # what comes meanwhile comes after BEGIN
    server.setblocking(False)
    signal.set_wakeup_fd(server.fileno(), warn_on_full_buffer=False)
    for number in PASSED_ON:
        signal.signal(number, lambda *_: None)
    try:
        server.send(BEGIN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        select.select([server], [], [])
        answer = server.recv(4)
    except OSError:
        answer = b""
    if len(answer) < 4:
        print("error: the process that this job ran in is gone, and its server with it", file=sys.stderr)
        return 1
    signal.set_wakeup_fd(-1)
    status = int.from_bytes(answer, "big", signed=True)
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status
