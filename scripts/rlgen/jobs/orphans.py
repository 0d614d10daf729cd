"""A process ends with whoever started it: nobody is left at work on outputs that a successor makes anew."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

ENGINE_WATCH_S, STARTER_WATCH_S = 1.0, 0.2
ENGINE = "RLGEN_ENGINE"  # environment variable: process id of the engine


def born(pid: int) -> str | None:
    """When a process started, as far as the system tells; None where there is no such process."""
    try:
        os.kill(pid, 0)
        state, *fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except ProcessLookupError:
        return None
    except OSError:  # no /proc here, or another user's process: it lives
        return ""
    return None if state in "ZX" else fields[18]  # a zombie has ended, although nobody asked how


def end_with(starter: int) -> None:
    """End this process when the one that started it has ended."""

    def watch() -> None:
        while os.getppid() == starter:
            time.sleep(STARTER_WATCH_S)
        os.kill(os.getpid(), signal.SIGKILL)  # whatever the script is doing

    threading.Thread(target=watch, daemon=True).start()


def follow_engine() -> None:
    """End this process when the engine that started it is gone: its successor will start the job anew."""
    engine = os.environ.get(ENGINE, "")
    if engine.isdecimal():
        threading.Thread(target=_watch, args=(int(engine), born(int(engine))), daemon=True).start()


def _watch(engine: int, since: str | None) -> None:
    while since is not None and born(engine) == since:
        time.sleep(ENGINE_WATCH_S)
    print("the workflow engine that started this job is gone: stopping", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)  # whatever the script is doing
