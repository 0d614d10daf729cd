"""Timing of our code against a named peer or the hardware's limit, in one process, in turns."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

REPETITIONS = 7


@dataclass(frozen=True)
class Measurement:
    """One row of the benchmark: medians in `unit`, and whether ratio = ours / peer meets the target."""

    work: str  # what was done, with its sizes
    peer: str  # against what
    ours: float
    peers: float
    unit: str  # "ms", "s", "tokens/s"
    target: str  # as in "<= 2.0" or ">= 0.9", on ratio
    repetitions: int
    note: str = ""

    @property
    def ratio(self) -> float:
        """ours / peers."""
        return self.ours / self.peers

    @property
    def met(self) -> bool:
        """Whether the ratio meets the target."""
        sign, bound = self.target.split()
        return self.ratio <= float(bound) if sign == "<=" else self.ratio >= float(bound)


def medians(
    *works: Callable[[], object],
    repetitions: int = REPETITIONS,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Median seconds of each callable; they run in turns, so that a slow moment of the machine meets all of them.

    `clock=time.process_time` counts the seconds of processors, which others on a shared machine do not lengthen.
    """
    seconds: list[list[float]] = [[] for _ in works]
    for turn in range(warmup + repetitions):
        for place, work in enumerate(works):
            start = clock()
            work()
            if turn >= warmup:
                seconds[place].append(clock() - start)
    return [statistics.median(s) for s in seconds]
