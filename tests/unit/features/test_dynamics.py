"""Overlap of top lists over checkpoints, its chance level, and displacement."""

from itertools import combinations

import numpy as np
import pytest
import torch
from crosscoders import activations, random_crosscoder
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.features.dynamics import (
    chance_overlap,
    course_rows,
    displacement_share,
    mean_codes,
    mean_displacement,
    overlap_matrix,
    pair_rows,
    top_latents,
)


def test_top_latents_by_hand():
    score_S = np.array([0.5, 0.9, np.nan, 0.9, 0.7])
    alive_S = np.array([True, True, True, True, False])
    assert top_latents(score_S, alive_S, 3).tolist() == [1, 3, 0]
    assert top_latents(score_S, alive_S, 10).tolist() == [1, 3, 0, 2]
    assert top_latents(score_S, np.zeros(5, bool), 3).tolist() == []


def test_overlap_by_hand():
    matrix = overlap_matrix([np.array([0, 1, 2, 3]), np.array([3, 2, 7, 8]), np.array([9, 4, 5, 6])])
    assert matrix.tolist() == [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]
    assert np.isnan(overlap_matrix([np.array([], int)] * 2)).all()
    with pytest.raises(ValueError, match="expected one size"):
        overlap_matrix([np.array([1]), np.array([1, 2])])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_overlaps_match_set_arithmetic(seed, top):
    rng = np.random.default_rng(seed)
    score_CS, alive_S = rng.normal(size=(3, 12)), rng.random(12) > 0.3
    alive_S[0] = True
    tops = []
    for score_S in score_CS:
        ranked = sorted((k for k in range(12) if alive_S[k]), key=lambda k: -score_S[k])
        tops.append(set(ranked[:top]))
    rows = pair_rows("rl", "joint", score_CS, alive_S, top, 50, rng)
    found = {(r["a"], r["b"]): r["value"] for r in rows if r["kind"] == "overlap"}
    for a, b in combinations(range(3), 2):
        assert found[a + 1, b + 1] == found[b + 1, a + 1] == pytest.approx(len(tops[a] & tops[b]) / len(tops[a]))
    assert all(found[a, a] == 1 for a in (1, 2, 3))
    assert [r["value"] for r in rows if r["kind"] == "alive"] == [alive_S.sum()]


def test_chance_is_that_of_drawn_lists():
    rng = np.random.default_rng(0)
    mean, lo, hi = chance_overlap(200, 50, 20_000, rng)
    drawn = [
        len(set(rng.choice(200, 50, replace=False)) & set(rng.choice(200, 50, replace=False))) / 50 for _ in range(2000)
    ]
    assert mean == pytest.approx(50 / 200, abs=0.002) and mean == pytest.approx(np.mean(drawn), abs=0.006)
    assert (lo, hi) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.021)
    assert chance_overlap(30, 50, 100, rng) == (1.0, 1.0, 1.0)  # all alive latents are on every list
    assert np.isnan(chance_overlap(0, 50, 100, rng)).all()


def test_displacement_by_hand():
    h_BMd = torch.tensor([[[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]], [[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]]])
    displacement_M = mean_displacement(h_BMd.split(1))
    assert displacement_M.tolist() == [0.0, 3.0, 6.0]
    assert displacement_share(displacement_M).tolist() == [0.0, 0.5, 1.0]
    assert np.isnan(displacement_share(np.zeros(3))).all()
    assert [(r["kind"], r["a"], r["value"]) for r in course_rows("rl", displacement_M)] == [
        ("steps", 1, 0.5), ("steps", 2, 1.0), ("displacement", 1, 0.5), ("displacement", 2, 1.0),
    ]  # fmt: skip


def test_mean_codes_match_a_loop():
    crosscoder, h_BMd = random_crosscoder(3, M=3), activations(3, M=4)
    slots = [0, 2, 2, 2]
    code_MS = mean_codes(crosscoder, h_BMd.split(6), slots)
    for m, slot in enumerate(slots):
        rows = [crosscoder.encode_one(h_BMd[n : n + 1, m], slot)[0].double().numpy() for n in range(len(h_BMd))]
        assert code_MS[m] == pytest.approx(sum(rows) / len(rows), abs=1e-6)
