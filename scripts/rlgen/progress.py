"""A progress line for work that takes more than a few seconds: done, rate, time left."""

import sys
import time


class Progress:
    """Prints to stderr at most every `every_s` seconds; silent for short work."""

    def __init__(self, what: str, total: int, unit: str, every_s: float = 5.0) -> None:
        self.what, self.total, self.unit, self.every_s = what, total, unit, every_s
        self.started = self.shown = time.monotonic()

    def update(self, done: int) -> None:
        """Report that `done` of `total` units are finished."""
        now = time.monotonic()
        if now - self.shown < self.every_s:
            return
        self.shown = now
        rate = done / (now - self.started)
        left = (self.total - done) / rate
        text = f"{self.what}: {done}/{self.total} {self.unit}, {rate:.3g} {self.unit}/s, {left:.0f} s left"
        print(text, file=sys.stderr)
