"""Controls: matched sets, rotations, random directions and mean shifts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.interventions.controls import mean_shift, random_directions, random_sets, rotations, sample_means

S = 300


def latents(seed: int = 0):
    """Sizes over three orders of magnitude, and a selection of large ones."""
    rng = np.random.default_rng(seed)
    size_S = 10 ** rng.uniform(-3, 0, S)
    return size_S, np.argsort(-size_S)[:40:2]


def drawn(n=20, seed=0, able=None, selected=None):
    size_S, chosen = latents()
    able, selected = np.arange(S) if able is None else able, chosen if selected is None else selected
    return random_sets(size_S, selected, able, n, np.random.default_rng(seed))


def test_random_sets_are_disjoint_from_the_set_as_large_and_of_able_latents_only():
    _, selected = latents()
    found = drawn(able=np.arange(0, S, 2))
    assert len(found.sets) == 20 and found.refused is None
    for latents_ in found.sets:
        assert len(latents_) == len(set(latents_)) == len(selected) and (np.diff(latents_) > 0).all()
        assert not set(latents_) & set(selected) and (latents_ % 2 == 0).all()


def test_random_sets_depend_on_the_generator_alone_and_differ():
    first, again, other = drawn(), drawn(), drawn(seed=1)
    assert [s.tolist() for s in first.sets] == [s.tolist() for s in again.sets]
    assert [s.tolist() for s in first.sets] != [s.tolist() for s in other.sets]
    assert len({tuple(s) for s in first.sets}) == 20


def test_random_sets_add_about_as_much_as_the_set_and_unmatched_draws_do_not():
    size_S, selected = latents()
    pool, rng = np.setdiff1d(np.arange(S), selected), np.random.default_rng(0)
    unmatched = [size_S[rng.choice(pool, len(selected), replace=False)].sum() for _ in range(200)]
    ratios = [size_S[s].sum() / size_S[selected].sum() for s in drawn().sets]
    assert 0.6 < np.mean(ratios) < 1.2 and np.mean(unmatched) < 0.35 * size_S[selected].sum()


def test_each_group_draws_from_the_latents_nearest_to_it_in_size():
    """Two sizes, a hundred times apart: a set of one latent of each draws one of either size, never two of one."""
    size_S = np.array([1.0, 0.01, *[1.0] * 6, *[0.01] * 6])
    for latents_ in random_sets(size_S, np.array([0, 1]), np.arange(14), 10, np.random.default_rng(0)).sets:
        assert size_S[latents_].round(2).tolist() == [1.0, 0.01]


def test_a_pool_below_three_times_the_set_is_refused_in_words():
    _, selected = latents()
    free = np.setdiff1d(np.arange(S), selected)
    few = drawn(able=np.append(selected, free[:59]))
    assert few.sets == [] and few.pool == 59
    assert few.refused == "59 latents to draw from, fewer than 3 times the set of 20"
    assert drawn(able=np.append(selected, free[:60])).refused is None


def test_latents_that_add_nothing_are_no_controls():
    size_S, selected = latents()
    pool = np.setdiff1d(np.arange(S), selected)
    size_S[pool[::2]] = 0
    for latents_ in random_sets(size_S, selected, np.arange(S), 5, np.random.default_rng(0)).sets:
        assert set(latents_) <= set(pool[1::2])


def test_the_effective_number_is_one_for_equal_sets_and_all_for_disjoint_ones():
    size_S = np.ones(40)
    only = random_sets(size_S, np.arange(1), np.arange(4), 5, np.random.default_rng(0))
    pairs = [(a == b).all() for i, a in enumerate(only.sets) for b in only.sets[:i]]
    assert only.mean_jaccard == pytest.approx(np.mean(pairs))
    assert only.effective == pytest.approx(25 / (5 + 2 * sum(pairs)))
    assert random_sets(size_S, np.arange(9), np.arange(36), 1, np.random.default_rng(0)).effective == 1


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), size=st.integers(1, 20), n=st.integers(2, 8))
def test_the_effective_number_lies_between_one_and_the_number_of_sets(seed, size, n):
    size_S = np.random.default_rng(seed).lognormal(size=100)
    found = random_sets(size_S, np.arange(size), np.arange(100), n, np.random.default_rng(seed))
    assert 1 - 1e-9 <= found.effective <= n + 1e-9 and 0 <= found.mean_jaccard <= 1
    assert all(len(np.unique(s)) == size and s.min() >= size for s in found.sets)


def test_rotations_are_signed_permutations():
    order_nd, sign_nd = rotations(4, 6, np.random.default_rng(0))
    assert [sorted(row) for row in order_nd.tolist()] == [list(range(6))] * 4
    assert set(sign_nd.flatten().tolist()) == {-1.0, 1.0}
    assert len(set(map(tuple, order_nd.tolist()))) == 4


def test_random_directions_have_their_length_and_no_preferred_side():
    vectors_nd = random_directions(2000, 5, 3.0, np.random.default_rng(0))
    assert vectors_nd.dtype == torch.float32
    torch.testing.assert_close(vectors_nd.norm(dim=1), torch.full((2000,), 3.0))
    assert vectors_nd.mean(0).abs().max() < 0.15
    assert random_directions(0, 5, 3.0, np.random.default_rng(0)).shape == (0, 5)


def test_mean_shift_by_hand():
    """Sample 7 has shifts (1, 0), (3, 0) -> (2, 0); sample 3 has (0, 8): the mean over samples is (1, 4)."""
    reference_Nd = torch.tensor([[1.0, 1.0], [0.0, 5.0], [2.0, 2.0]])
    tuned_Nd = torch.tensor([[2.0, 1.0], [0.0, 13.0], [5.0, 2.0]])
    assert mean_shift(reference_Nd, tuned_Nd, torch.tensor([7, 3, 7])).tolist() == [1.0, 4.0]


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 30))
def test_sample_means_against_a_loop(seed, n):
    rng = np.random.default_rng(seed)
    values_NX, sample_N = rng.standard_normal((n, 3)), rng.integers(0, 5, n) * 10
    expected = [values_NX[sample_N == s].mean(0) for s in sorted(set(sample_N.tolist()))]
    result = sample_means(torch.from_numpy(values_NX), torch.from_numpy(sample_N))
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-12)
