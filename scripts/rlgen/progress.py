"""A progress line for work that takes more than a few seconds: done, rate, time left."""

import os
import sys
import time

LOG = "RLGEN_LOG"  # environment variable: "quiet" leaves progress lines out; of the machine, not of the study


class Progress:
    """Prints to stderr at most every `every_s` seconds; silent for short work.

    `start` units were finished by an earlier process: rate and time left are this process's own.
    """

    def __init__(self, what: str, total: int, unit: str, every_s: float = 5.0, start: int = 0) -> None:
        self.what, self.total, self.unit, self.every_s = what, total, unit, every_s
        self.quiet = os.environ.get(LOG) == "quiet"
        self.resume(start)

    def resume(self, start: int) -> None:
        """Count anew from here: `start` units are finished already."""
        self.start = start
        self.started = self.shown = time.monotonic()

    def update(self, done: int, note: str = "") -> None:
        """Report that `done` of `total` units are finished; `note` ends the line."""
        now = time.monotonic()
        if self.quiet or done == self.start or now - self.shown < self.every_s:
            return
        self.shown = now
        rate = (done - self.start) / (now - self.started)
        left = (self.total - done) / rate
        text = f"{self.what}: {done}/{self.total} {self.unit}, {rate:.3g} {self.unit}/s, {left:.0f} s left"
        print(text + note, file=sys.stderr)
