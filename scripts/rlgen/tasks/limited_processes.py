"""Calls of one function in processes of their own, each call under a hard limit of processor time.

For code that may hang, exhaust memory or crash, and whose own time limits cannot be relied on (`signal.alarm` works in
main threads alone). The operating system ends a process whose call overruns, whatever it is doing, and another takes
its place. The processes are started as programs, not forked: they may be used from threads, beside a GPU, and inside
the workers of others, daemons included. They end with whoever started them, even if that is killed.
"""

import importlib
import json
import os
import resource
import select
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

MEMORY_BYTES = 4 << 30  # address space of a process
START_S = 300.0  # a process that has not imported its modules by then never will
PATIENCE = 10  # wall time over processor time at which a call is given up: the machine may be busy with other work
ORPHAN_CHECK_S = 2.0
START = "import sys; from rlgen.tasks.limited_processes import serve; serve(sys.argv[1], float(sys.argv[2]))"


class LimitedProcesses:
    """Up to `count` processes, started when there is work, that call the function which `factory` returns.

    `factory` is "module:name", a function without arguments; importing and calling it is not under the limit.
    Arguments and results of calls are JSON values. May be shared by threads, whose work is then done one after the
    other; a forked child starts processes of its own.
    """

    def __init__(self, factory: str, count: int, limit_s: float) -> None:
        if count < 1 or not limit_s > 0:
            raise ValueError(f"{count} processes with a limit of {limit_s} s, expected at least 1 and more than 0 s")
        self.factory, self.count, self.limit_s = factory, count, limit_s
        self._own()

    def map(self, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """The function's result for each list of arguments, in order. None for a call that overran, raised or crashed.

        Raises RuntimeError where a process cannot be started at all.
        """
        if self._owner != os.getpid():  # forked: the parent's processes are none of ours, and its lock may be held
            for process in self._processes:
                process.let_go()
                process.popen.returncode = 0  # no child of this process: there is nothing to wait for
            self._own()
        with self._lock:
            try:
                return self._map(calls)
            except BaseException:  # whatever is still at work would answer the next question with the last answer
                _end(self._processes, self._owner)
                raise

    def close(self) -> None:
        """End all processes, after the work of other threads. Another `map` starts new ones."""
        if self._owner == os.getpid():
            with self._lock:
                _end(self._processes, self._owner)

    def pids(self) -> list[int]:
        """Process ids of the processes that are there now."""
        return [process.popen.pid for process in self._processes]

    def _own(self) -> None:
        self._owner, self._lock = os.getpid(), threading.Lock()
        self._processes: list[_Process] = []
        if hasattr(self, "_finalizer"):
            self._finalizer.detach()
        self._finalizer = weakref.finalize(self, _end, self._processes, self._owner)

    def _map(self, calls: Sequence[Sequence[Any]]) -> list[Any]:
        results: list[Any] = [None] * len(calls)
        waiting = deque(range(len(calls)))
        while waiting or any(process.call is not None for process in self._processes):
            busy = sum(process.call is not None for process in self._processes)
            while len(self._processes) < min(self.count, len(waiting) + busy):
                self._processes.append(_Process(self.factory, self.limit_s))
            for process in self._processes:
                if process.ready and process.call is None and waiting:
                    process.send(waiting[0], calls[waiting[0]])
                    waiting.popleft()
            for process in _answered(self._processes):
                if process.read():
                    if process.answer is not None:
                        results[process.call] = process.answer[0]
                        process.call = process.answer = None
                    continue
                if not process.ready:
                    status = process.end()
                    raise RuntimeError(f"{self.factory}: its process ended while it started (status {status})")
                process.end()  # overran or crashed: its result stays None
                self._processes.remove(process)
        return results


class _Process:
    """One process: starting, idle (`ready`) or at work on call number `call` until `deadline`."""

    def __init__(self, factory: str, limit_s: float) -> None:
        path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
        same_everywhere = {"PYTHONPATH": path, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
        self.popen = subprocess.Popen(
            [sys.executable, "-P", "-c", START, factory, str(limit_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=os.environ | same_everywhere,
        )
        self.limit_s, self.ready, self.buffer = limit_s, False, b""
        self.call: int | None = None
        self.answer: list | None = None
        self.deadline = time.monotonic() + START_S

    def send(self, call: int, arguments: Sequence[Any]) -> None:
        self.call, self.deadline = call, time.monotonic() + PATIENCE * self.limit_s
        data = memoryview(json.dumps(list(arguments)).encode() + b"\n")
        with suppress(BrokenPipeError):  # it died since: reading will find that out
            while data:
                data = data[self.popen.stdin.write(data) :]

    def read(self) -> bool:
        """Take what it wrote; whether it is still of use."""
        if time.monotonic() > self.deadline and not select.select([self.popen.stdout], [], [], 0)[0]:
            return False
        data = os.read(self.popen.stdout.fileno(), 1 << 16)
        self.buffer += data
        while b"\n" in self.buffer:
            line, _, self.buffer = self.buffer.partition(b"\n")
            if self.ready:
                self.answer = json.loads(line)
            self.ready = True
        return bool(data)

    def end(self) -> int:
        """Kill it, whatever it is doing; its exit status."""
        self.popen.kill()
        status = self.popen.wait()
        self.let_go()
        return status

    def let_go(self) -> None:
        for pipe in (self.popen.stdin, self.popen.stdout):
            with suppress(OSError):
                pipe.close()


def _answered(processes: list[_Process]) -> list[_Process]:
    """Wait for any process that starts or works to say something, to die, or to run out of time."""
    expected = [process for process in processes if process.call is not None or not process.ready]
    with selectors.DefaultSelector() as selector:
        for process in expected:
            selector.register(process.popen.stdout, selectors.EVENT_READ, process)
        patience = max(0.0, min(process.deadline for process in expected) - time.monotonic())
        said = [key.data for key, _ in selector.select(patience)]
    return said or [process for process in expected if time.monotonic() > process.deadline]


def _end(processes: list[_Process], owner: int) -> None:
    if owner == os.getpid():
        while processes:
            processes.pop().end()


def serve(factory: str, limit_s: float) -> None:
    """Answer calls until the pipe closes or the parent is gone: what runs in the processes."""
    parent, answers = os.getppid(), os.dup(1)
    os.dup2(2, 1)  # what the function prints is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's business
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with suppress(ValueError, OSError):  # a lower limit is in force already
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    module, _, name = factory.partition(":")
    function: Callable = getattr(importlib.import_module(module), name)()
    os.write(answers, b"ready\n")
    buffer = b""
    while os.getppid() == parent:
        if not select.select([0], [], [], ORPHAN_CHECK_S)[0]:
            continue
        data = os.read(0, 1 << 16)
        if not data:
            return
        buffer += data
        if buffer.endswith(b"\n"):
            _answer(function, buffer, limit_s, answers)
            buffer = b""


def _answer(function: Callable, line: bytes, limit_s: float, answers: int) -> None:
    """One call. SIGPROF, which nobody catches, ends the process where the call takes too much processor time."""
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        result = function(*json.loads(line))
    except Exception:  # MemoryError and RecursionError too: no result is the result
        result = None
    signal.setitimer(signal.ITIMER_PROF, 0)
    os.write(answers, json.dumps([result]).encode() + b"\n")
