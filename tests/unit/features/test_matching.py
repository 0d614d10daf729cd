"""Matching of latents: a permutation is recovered, nothing is found in nothing, numbers by hand."""

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.features.matching import Matching, match, overlap_row, set_overlap


def rows(seed: int, n: int, x: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, x)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.floats(0.1, 10))
def test_a_permuted_and_stretched_copy_is_the_same_dictionary(seed, n, stretch):
    ours_AX, order = rows(seed, n), np.random.default_rng(seed).permutation(n)
    found = match(ours_AX, stretch * ours_AX[order], np.arange(n), np.arange(n), 0.7)
    assert found.share == 1 and found.cosine == pytest.approx(1, abs=1e-5)
    assert order[found.theirs].tolist() == found.ours.tolist() == list(range(n))


def test_independent_directions_are_never_the_same():
    found = match(rows(0, 100), rows(1, 100), np.arange(100), np.arange(100), 0.7)
    assert found.share == 0 and len(found.ours) == 0
    assert overlap_row(found, np.arange(10), np.arange(10))["value"] == 0


def test_the_sum_of_cosines_decides_and_not_the_nearest_pair():
    """Greedy would take .99 and leave the other two at less than the bound; the assignment takes .9 twice."""
    angle = np.deg2rad([0, 20, 8.1, -20])
    ours_AX, theirs_BX = (np.stack([np.cos(a), np.sin(a)], 1) for a in (angle[[0, 1]], angle[[2, 3]]))
    found = match(ours_AX, theirs_BX, np.arange(2), np.arange(2), 0.9)
    assert (found.ours.tolist(), found.theirs.tolist()) == ([0, 1], [1, 0])
    assert found.cosine == pytest.approx([np.cos(np.deg2rad(20)), np.cos(np.deg2rad(11.9))], abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_assignment_of_alike_pairs_has_a_larger_sum(seed):
    """Against all injections of six latents into six others, in a plane where many pairs are alike."""
    ours_AX, theirs_BX = rows(seed, 6, 2), rows(seed + 50, 6, 2)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (ours_AX, theirs_BX)]
    cosine = unit[0] @ unit[1].T
    counted = np.where(cosine >= 0.7, cosine, 0)
    best = max(sum(counted[i, j] for i, j in enumerate(order)) for order in permutations(range(6)))
    assert match(ours_AX, theirs_BX, np.arange(6), np.arange(6), 0.7).cosine.sum() == pytest.approx(best, abs=1e-5)


def test_only_candidates_are_matched_and_blocks_of_rows_do_not_matter(monkeypatch):
    ours_AX = rows(3, 30)
    ours, theirs = np.arange(0, 30, 2), np.arange(10, 30)
    whole = match(ours_AX, ours_AX, ours, theirs, 0.7)
    assert whole.ours.tolist() == whole.theirs.tolist() == list(range(10, 30, 2))
    assert whole.candidates == (15, 20) and whole.share == pytest.approx(10 / 15)
    monkeypatch.setattr("rlgen.features.matching.ROWS_PER_BLOCK", 4)
    again = match(ours_AX, ours_AX, ours, theirs, 0.7)
    assert again.ours.tolist() == whole.ours.tolist() and again.cosine == pytest.approx(whole.cosine)


def test_overlap_by_hand_and_chance_by_all_sets():
    """8 candidates, 5 of them matched; our set {0, 1, 2}, theirs {10, 11, 17}: 10 and 11 are our 0 and 4."""
    found = Matching(np.arange(5), np.array([10, 12, 13, 14, 11]), np.ones(5), (8, 9))
    row = overlap_row(found, np.array([0, 1, 2]), np.array([10, 11, 17]))
    assert row["value"] == pytest.approx(1 / 5)  # one shared of 3 + 3 - 1
    shared = np.array([len({0, 4} & set(some)) for some in combinations(range(8), 3)])
    assert row["chance"] == pytest.approx(np.mean(shared / (6 - shared)))
    assert row["p"] == pytest.approx((shared >= 1).mean())
    assert (row["chance_lo"], row["chance_hi"]) == (0, pytest.approx(2 / 4))
    assert set_overlap(0, 0, 0) == 0


def test_a_dead_row_matches_nothing():
    ours_AX = rows(4, 3)
    ours_AX[1] = 0
    assert match(ours_AX, ours_AX, np.arange(3), np.arange(3), 0.7).ours.tolist() == [0, 2]
