"""The process that has imported torch and its like and forks a job wherever one is asked for (`rlgen.jobs.warm`).

It loads packages of others only: what it forks runs `scripts/job.py` from its beginning and reads this project's code
from the disk, as a process of its own would.
"""

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rlgen.jobs.orphans import born
from rlgen.jobs.warm import BEGIN, PRELOADED, WARM, YES, variables

LOOK_S = 1.0


class Request(NamedTuple):
    """What a job asks for, the connection to it, and its three streams."""

    argv: list[str]
    cwd: str
    path: str
    variables: dict[str, str]
    client: socket.socket
    streams: list[int]

    @classmethod
    def read(cls, client: socket.socket) -> "Request | None":
        """The request that comes through a connection; None, and both closed, where nothing of use does."""
        streams = []
        client.settimeout(LOOK_S)
        try:
            size, streams, *_ = socket.recv_fds(client, 4, 3)
            text = b""
            while part := client.recv(int.from_bytes(size, "big") - len(text)):
                text += part
            client.settimeout(None)
            return cls(**json.loads(text), client=client, streams=streams)
        except (OSError, ValueError, TypeError):
            client.close()
            _close(streams)
            return None


class Server:
    """Forks for every job that shares this process's variables, and tells each how its fork ended."""

    def __init__(self, listening: socket.socket, known: dict[str, str]) -> None:
        self.listening, self.known = listening, known
        self.jobs: dict[int, tuple[int, socket.socket]] = {}  # pidfd of a fork -> its process id, who asked for it
        self.selector = selectors.DefaultSelector()
        self.selector.register(listening, selectors.EVENT_READ)

    def serve(self, engine: int) -> Request | None:
        """Work until the engine is gone. In a fork: its request."""
        since = born(engine)
        while since is not None and born(engine) == since:
            for key, _ in self.selector.select(LOOK_S):
                if key.fileobj is not self.listening:
                    self.report(key.fileobj)
                elif (request := self.accept()) and self.fork(request):
                    return request
        return None

    def accept(self) -> Request | None:
        """What the next job asks for. One that does not fit here is let go, and runs in its own process."""
        request = Request.read(self.listening.accept()[0])
        if request is None:
            return None
        if request.variables != self.known or _threads():  # a variable may have done its work at import
            _close(request.streams)
            request.client.close()
            return None
        return request

    def fork(self, request: Request) -> bool:
        """Fork for a request; whether this is the fork."""
        pid = os.fork()
        if pid == 0:
            self._leave()
            return True
        _close(request.streams)
        ended = os.pidfd_open(pid)
        self.jobs[ended] = pid, request.client
        self.selector.register(ended, selectors.EVENT_READ)
        with suppress(OSError):  # whoever asked may be gone already
            request.client.sendall(YES)
        return False

    def report(self, ended: int) -> None:
        """Tell whoever asked for a fork how it ended."""
        self.selector.unregister(ended)
        pid, client = self.jobs.pop(ended)
        os.close(ended)
        _, status = os.waitpid(pid, 0)
        with client, suppress(OSError):
            client.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))

    def _leave(self) -> None:
        """In a fork: close all that is the server's."""
        self.listening.close()
        self.selector.close()
        for ended, (_, client) in self.jobs.items():
            os.close(ended)
            client.close()


def main() -> bool:
    """Leave the job that started this, import, and fork until the engine is gone. True in a fork."""
    number, environment, engine, place = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    if os.fork():
        os._exit(0)
    os.setsid()
    listening, known, request = socket.socket(fileno=number), variables(), None
    try:
        os.close(os.pidfd_open(os.getpid()))  # raises OSError on an old system: no server there
        for module in PRELOADED[environment]:
            with suppress(ImportError):
                importlib.import_module(module)
        gc.collect()
        gc.freeze()  # what is loaded is never garbage, and looking through it in every fork would copy it
        request = Server(listening, known).serve(engine)
    finally:
        if request is None:
            place.unlink(missing_ok=True)
            place.with_suffix(".lock").unlink(missing_ok=True)
    return request is not None and _become(request)


def _threads() -> list[str]:
    """Names of further threads, which would not survive a fork. jemalloc's, which pyarrow brings, is made for it."""
    tasks = set(os.listdir("/proc/self/task")) - {str(os.getpid())}
    names = [
        Path(f"/proc/self/task/{task}/comm").read_text(encoding="utf-8", errors="replace").strip() for task in tasks
    ]
    return [name for name in names if name != "jemalloc_bg_thd"]


def _close(streams: list[int]) -> None:
    for stream in streams:
        os.close(stream)


def _become(request: Request) -> bool:
    """Make this fork what the asking process would be, had it not asked. False where that one is gone."""
    try:
        if request.client.recv(1) != BEGIN:
            return False
    except OSError:
        return False
    for place, stream in enumerate(request.streams):
        os.dup2(stream, place)
    _close(request.streams)
    threading.Thread(target=_obey, args=(request.client,), daemon=True).start()
    del os.environ[WARM]
    os.chdir(request.cwd)
    sys.argv, sys.path[0] = request.argv, request.path
    for name in [name for name in sys.modules if name.partition(".")[0] == "rlgen"]:
        del sys.modules[name]
    return True


def _obey(client: socket.socket) -> None:
    """Take the signals that the asking process got; end when it is gone."""
    with suppress(OSError):
        while number := client.recv(1):
            os.kill(os.getpid(), number[0])
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__" and main():
    runpy.run_path(sys.argv[0], run_name="__main__")
