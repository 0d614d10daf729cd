"""Are the tasks' lists the same list? Jaccard overlaps, against chance within strata. (docs/method.md, section 7.)

Chance: every task draws a list of its own size, independently of the others, from latents that fire about as often and
differ about as much as those on its list. Uniform draws would make any ranking by frequency look task-agnostic.

Shapes: T tasks, S latents, D draws.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rlgen.tables import ROLE_MEAN

BINS_PER_AXIS = 4
SMALLEST_STRATUM = 8  # latents; fewer bins where the pool is too small for that
ELEMENTS_PER_CHUNK = 10_000_000  # of a (D, T, S) array of draws


def jaccard(lists_TS: NDArray[np.bool_]) -> NDArray[np.float64]:
    """|intersection| / |union| of lists along the second last axis; 0 where all are empty."""
    union = lists_TS.any(-2).sum(-1)
    return lists_TS.all(-2).sum(-1) / np.maximum(union, 1)


def strata(frequency_S: NDArray, norm_S: NDArray, pool_S: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Stratum of every latent of the pool, -1 outside: bins of equal size by frequency, each cut in bins by norm."""
    members = np.flatnonzero(pool_S)
    bins = int(np.clip(np.sqrt(len(members) / SMALLEST_STRATUM), 1, BINS_PER_AXIS))
    stratum_S = np.full(len(pool_S), -1)
    by_frequency = members[np.argsort(frequency_S[members], kind="stable")]
    for i, part in enumerate(np.array_split(by_frequency, bins)):
        by_norm = part[np.argsort(norm_S[part], kind="stable")]
        for j, cell in enumerate(np.array_split(by_norm, bins)):
            stratum_S[cell] = i * bins + j
    return stratum_S


def random_lists(
    lists_TS: NDArray[np.bool_], stratum_S: NDArray[np.intp], draws: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Independent random lists (D, T, S): each takes from every stratum as many latents as the task's own list has.

    Raises ValueError when a list holds a latent outside the strata.
    """
    if (lists_TS & (stratum_S < 0)).any():
        raise ValueError("a list holds latents outside the pool that lists are drawn from")
    drawn_DTS = np.zeros((draws, *lists_TS.shape), dtype=bool)
    for stratum in range(stratum_S.max(initial=-1) + 1):
        members = np.flatnonzero(stratum_S == stratum)
        count_T = lists_TS[:, members].sum(1)
        order = rng.random((draws, len(lists_TS), len(members))).argsort(-1)
        drawn_DTS[:, :, members] = order < count_T[:, None]  # a random permutation's smallest numbers: a random subset
    return drawn_DTS


def overlap_rows(
    lists_TS: NDArray[np.bool_],
    tasks: Sequence[str],
    stratum_S: NDArray[np.intp],
    draws: int,
    rng: np.random.Generator,
    level: float = 0.95,
) -> list[dict]:
    """Observed overlap beside chance: every pair of tasks, all tasks, and all tasks but one.

    task_a, task_b name a pair; task_a "ALL" stands for all tasks, but for the one in task_b if there is one. jaccard:
    |intersection| / |union|, with mean and quantiles over the draws. intersection: its size, and its mean over the
    draws. p: share of draws, the observed lists counted in, whose intersection is at least as large. size_a, size_b:
    of the pair's lists; of the smallest and the largest of all.
    """
    subsets = _subsets(tasks)
    shared, similar = ({key: [] for key in subsets} for _ in range(2))
    chunk = max(1, ELEMENTS_PER_CHUNK // max(1, lists_TS.size))
    for start in range(0, draws, chunk):
        drawn_DTS = random_lists(lists_TS, stratum_S, min(chunk, draws - start), rng)
        for key, subset in subsets.items():
            shared[key].append(drawn_DTS[:, subset].all(1).sum(-1))
            similar[key].append(jaccard(drawn_DTS[:, subset]))
    rows = []
    for (task_a, task_b), subset in subsets.items():
        shared_D, similar_D = np.concatenate(shared[task_a, task_b]), np.concatenate(similar[task_a, task_b])
        lo, hi = np.quantile(similar_D, [(1 - level) / 2, (1 + level) / 2])
        sizes, observed = lists_TS[subset].sum(1), int(lists_TS[subset].all(0).sum())
        rows.append(
            {
                "task_a": task_a,
                "task_b": task_b,
                "jaccard": float(jaccard(lists_TS[subset])),
                "chance_mean": float(similar_D.mean()),
                "chance_lo": float(lo),
                "chance_hi": float(hi),
                "intersection": observed,
                "intersection_chance": float(shared_D.mean()),
                "p": float((1 + (shared_D >= observed).sum()) / (1 + draws)),
                "size_a": int(sizes.min() if task_a == ROLE_MEAN else sizes[0]),
                "size_b": int(sizes.max() if task_a == ROLE_MEAN else sizes[1]),
            }
        )
    return rows


def _subsets(tasks: Sequence[str]) -> dict[tuple[str, str], list[int]]:
    """(task_a, task_b) of a row -> indices of the lists it is about."""
    everyone = list(range(len(tasks)))
    subsets = {(tasks[a], tasks[b]): [a, b] for a, b in combinations(everyone, 2)}
    subsets[ROLE_MEAN, ""] = everyone
    if len(tasks) > 2:
        subsets |= {(ROLE_MEAN, tasks[out]): [i for i in everyone if i != out] for out in everyone}
    return subsets
