"""Intervals by the bootstrap over prompts, percentile method, and rank correlation. Nothing random but the resamples.

Prompts are the unit that is resampled, because a task is a population of prompts and each is answered once. All columns
of one task (edits, doses, random sets) share one matrix of resamples, so an interval costs one matrix product, and a
difference of two columns is *paired* by construction: the same prompts are drawn on both sides.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgen.seeds import stream_seed


class Interval(NamedTuple):
    """A statistic and the bounds of its interval; floats, or arrays with one entry per column."""

    value: NDArray[np.float64]
    lo: NDArray[np.float64]
    hi: NDArray[np.float64]


def resamples(n: int, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """`draws` bootstrap samples of `n` prompts as weights: weights_DN @ values_N are the resampled means.

    Row d holds how often each prompt was drawn, divided by n. With n = 0 the matrix has no columns.
    """
    if n == 0:
        return np.zeros((draws, 0))
    drawn_DN = rng.integers(0, n, size=(draws, n))
    drawn_DN += n * np.arange(draws)[:, None]  # one range of bins per draw, counted together
    return np.bincount(drawn_DN.ravel(), minlength=draws * n).reshape(draws, n) / n


def task_resamples(n: int, draws: int, seed: int, task: str, half: str, *subset: str) -> NDArray[np.float64]:
    """`resamples` of a task's prompts in one seed of a study: the same ones wherever these prompts are resampled."""
    return resamples(n, draws, np.random.default_rng(stream_seed(seed, "bootstrap", task, half, *subset)))


def mean_interval(values_NC: ArrayLike, weights_DN: NDArray, level: float = 0.95) -> Interval:
    """Mean over prompts, with its percentile bootstrap interval.

    `values_NC` has prompts along the first axis and any number of columns (none for a single list); `weights_DN` comes
    from `resamples`. No prompts give NaN three times. Missing values raise ValueError: a prompt without an answer is a
    wrong answer, and what it counts is for the caller to say.
    """
    return task_mean_interval([values_NC], [weights_DN], level)


def task_mean_interval(
    values_by_task: Sequence[ArrayLike], weights_by_task: Sequence[NDArray], level: float = 0.95
) -> Interval:
    """Mean over tasks of the mean over prompts; prompts are resampled within each task, tasks are fixed.

    Tasks weigh the same however many prompts they have, and may have different numbers; a task without prompts makes
    the result NaN. For a paired difference pass differences.
    """
    if len(values_by_task) != len(weights_by_task) or not values_by_task:
        raise ValueError(f"{len(values_by_task)} tasks with {len(weights_by_task)} weight matrices, expected one each")
    return mean_of_means([resampled_mean(v, w) for v, w in zip(values_by_task, weights_by_task, strict=True)], level)


class Resampled(NamedTuple):
    """Means of one task's prompts: as they are, and under every draw. C columns, or none."""

    value_C: NDArray[np.float64]
    drawn_DC: NDArray[np.float64]


def resampled_mean(values_NC: ArrayLike, weights_DN: NDArray) -> Resampled:
    """The means of one task, for `mean_of_means`: made once for the task's own interval and for that of its role."""
    values_NC = _checked(values_NC, weights_DN)
    if len(values_NC) == 0:
        missing_C = np.full(values_NC.shape[1:], np.nan)
        return Resampled(missing_C, np.broadcast_to(missing_C, (len(weights_DN), *missing_C.shape)))
    return Resampled(values_NC.mean(axis=0), weights_DN @ values_NC)


def mean_of_means(tasks: Sequence[Resampled], level: float = 0.95) -> Interval:
    """Mean over tasks with its interval, column by column."""
    drawn_DC = np.mean([task.drawn_DC for task in tasks], axis=0)
    return Interval(np.mean([task.value_C for task in tasks], axis=0), *bounds(drawn_DC, level))


def bounds(resampled_DC: NDArray, level: float = 0.95) -> NDArray[np.float64]:
    """Lower and upper bounds (2, C) of the percentile interval of resampled statistics, one per column."""
    tail = (1 - level) / 2
    return np.quantile(resampled_DC, [tail, 1 - tail], axis=0)


def rank_correlation(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64] | float:
    """Spearman's: the correlation of ranks along the last axis, ties at their mean rank; NaN where a side is constant.

    A number for two lists, one per row for two matrices. Raises ValueError for sides of different shapes, and for
    missing values, which have no rank.

    >>> round(rank_correlation([1, 2, 3, 4], [10, 20, 20, 40]), 12)
    0.948683298051
    """
    from scipy.stats import rankdata  # late: who asks for intervals alone needs no scipy

    sides = [np.asarray(side, dtype=np.float64) for side in (a, b)]
    if sides[0].ndim == 0 or sides[0].shape != sides[1].shape:
        raise ValueError(f"sides of shapes {sides[0].shape} and {sides[1].shape}, expected two of one shape")
    if any(np.isnan(side).any() for side in sides):
        raise ValueError("a value is missing (NaN), expected numbers that have a rank")
    a, b = (side - side.mean(-1, keepdims=True) for side in (rankdata(side, axis=-1) for side in sides))
    spread = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    value = np.divide((a * b).sum(-1), spread, out=np.full(spread.shape, np.nan), where=spread > 0)
    return float(value) if value.ndim == 0 else value


def _checked(values_NC: ArrayLike, weights_DN: NDArray) -> NDArray[np.float64]:
    values_NC = np.asarray(values_NC, dtype=np.float64)
    if values_NC.ndim == 0 or len(values_NC) != weights_DN.shape[1]:
        raise ValueError(f"values of shape {values_NC.shape} with weights over {weights_DN.shape[1]} prompts")
    if np.isnan(values_NC).any():
        raise ValueError("a value is missing (NaN); score every prompt before its interval is asked for")
    return values_NC
