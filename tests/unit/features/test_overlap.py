"""Overlap of the tasks' lists: hand-computed chances, strata, and a p that keeps its promise under the null."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.features.overlap import jaccard, overlap_rows, random_lists, strata

seeds = st.integers(0, 10**6)


def test_jaccard_by_hand():
    lists = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0]], bool)
    assert jaccard(lists[:2]) == pytest.approx(1 / 3) and jaccard(lists) == pytest.approx(1 / 3)
    assert jaccard(lists[[0, 0]]) == 1 and jaccard(np.zeros((2, 4), bool)) == 0


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(0, 200))
def test_strata_cover_the_pool_evenly_and_order_by_frequency(seed, n):
    rng = np.random.default_rng(seed)
    frequency_S, norm_S = rng.random(n), rng.random(n)
    pool_S = rng.random(n) > 0.3
    stratum_S = strata(frequency_S, norm_S, pool_S)
    assert ((stratum_S >= 0) == pool_S).all()
    sizes = np.bincount(stratum_S[pool_S]) if pool_S.any() else np.array([0])
    assert sizes.max() - sizes.min() <= 2
    bins = math.isqrt(len(sizes))
    for low in range(bins - 1):
        below, above = (frequency_S[pool_S & (stratum_S // bins == i)] for i in (low, low + 1))
        assert below.max() <= above.min()


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_random_lists_take_as_many_from_every_stratum(seed):
    rng = np.random.default_rng(seed)
    pool_S = rng.random(60) > 0.2
    stratum_S = strata(rng.random(60), rng.random(60), pool_S)
    lists_TS = (rng.random((3, 60)) > 0.7) & pool_S
    drawn_DTS = random_lists(lists_TS, stratum_S, 20, rng)
    for stratum in range(stratum_S.max() + 1):
        inside = stratum_S == stratum
        assert (drawn_DTS[:, :, inside].sum(-1) == lists_TS[:, inside].sum(-1)).all()
    assert not drawn_DTS[:, :, ~pool_S].any()


def test_random_lists_are_uniform_within_a_stratum_and_refuse_strangers():
    drawn = random_lists(
        np.array([[True, True, False, False, False]]), np.zeros(5, int), 20_000, np.random.default_rng(0)
    )
    assert drawn.mean(axis=(0, 1)) == pytest.approx(np.full(5, 0.4), abs=0.015)
    with pytest.raises(ValueError, match="outside the pool"):
        random_lists(np.ones((1, 2), bool), np.array([0, -1]), 1, np.random.default_rng(0))


def test_overlap_rows_by_hand():
    """Two lists of 2 out of 4 in one stratum: intersections 0, 1, 2 with chance 1/6, 4/6, 1/6."""
    lists = np.array([[1, 1, 0, 0], [1, 1, 0, 0]], bool)
    rows = overlap_rows(lists, ["a", "b"], np.zeros(4, int), 20_000, np.random.default_rng(0))
    assert [(r["task_a"], r["task_b"]) for r in rows] == [("a", "b"), ("ALL", "")]
    for row in rows:
        assert (row["jaccard"], row["intersection"], row["size_a"], row["size_b"]) == (1, 2, 2, 2)
        assert row["p"] == pytest.approx(1 / 6, abs=0.015)
        assert row["intersection_chance"] == pytest.approx(1, abs=0.02)
        assert row["chance_mean"] == pytest.approx(4 / 6 / 3 + 1 / 6, abs=0.01)
    nothing = overlap_rows(np.zeros((3, 4), bool), list("abc"), np.zeros(4, int), 20, np.random.default_rng(0))
    assert len(nothing) == 3 + 1 + 3 and all((r["jaccard"], r["p"]) == (0, 1) for r in nothing)


def test_chunks_of_draws_change_only_the_draws(monkeypatch):
    lists = np.random.default_rng(1).random((3, 30)) > 0.6
    monkeypatch.setattr("rlgen.features.overlap.ELEMENTS_PER_CHUNK", 7 * lists.size)
    rows = overlap_rows(lists, list("abc"), np.zeros(30, int), 50, np.random.default_rng(0))
    assert all(1 / 51 <= row["p"] <= 1 for row in rows)


def test_p_is_calibrated_under_the_null():
    """Lists drawn independently within strata: p is below alpha at most that often, yet not hardly ever."""
    rng = np.random.default_rng(2)
    frequency_S, norm_S = rng.random(120), rng.random(120)
    stratum_S = strata(frequency_S, norm_S, np.ones(120, bool))
    template = rng.random((3, 120)) < 0.1 + 0.6 * frequency_S  # frequent latents are on more lists
    found = {(): [], ("ALL",): []}
    for _ in range(300):
        lists = random_lists(template, stratum_S, 1, rng)[0]
        rows = overlap_rows(lists, list("abc"), stratum_S, 99, rng)
        found[()].append(rows[0]["p"])
        found["ALL",].append(next(r["p"] for r in rows if (r["task_a"], r["task_b"]) == ("ALL", "")))
    for p in found.values():
        for alpha in (0.05, 0.2, 0.5):
            share = np.mean(np.array(p) <= alpha)
            assert share <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / 300)
            assert share >= 0.2 * alpha
