"""Rotation of roles: sets chosen with every few tasks left out in turn, from scores that tasks have by themselves.

A task's score does not know of other tasks, so no choice costs more than a mean of rows. (docs/method.md, section 7.)

Shapes: T tasks, S latents.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rlgen.features.mediation import Cut, choose


def rotated_sets(
    share_TS: NDArray,
    tasks: Sequence[str],
    has_samples_T: NDArray[np.bool_],
    pool_S: NDArray[np.bool_],
    cut: Cut,
    amount: float,
    left_out: int = 2,
) -> dict[tuple[str, ...], NDArray[np.bool_]]:
    """Names of the tasks that are left out -> the set (bool over latents) that the others choose.

    Raises ValueError where nothing would be left to choose.
    """
    if not 0 < left_out < len(tasks):
        raise ValueError(f"{left_out} of {len(tasks)} tasks left out, expected 1 to {len(tasks) - 1}")
    found = {}
    for out in combinations(range(len(tasks)), left_out):
        rest = np.setdiff1d(np.arange(len(tasks)), out)
        names = tuple(tasks[t] for t in out)
        found[names] = choose(share_TS[rest], has_samples_T[rest], pool_S, cut, amount)
    return found
