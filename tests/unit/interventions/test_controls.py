"""Controls: matched sets, rotations, random directions and mean shifts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.interventions.controls import matched_sets, mean_shift, random_directions, rescaled, rotations, sample_means

S = 300


def latents(seed: int = 0):
    """Frequencies and norms over two orders of magnitude, and a selection of frequent, far-moved latents."""
    rng = np.random.default_rng(seed)
    frequency_S, norm_S = 10 ** rng.uniform(-3, -1, S), 10 ** rng.uniform(-1, 1, S)
    selected = np.argsort(-(frequency_S * norm_S))[:40:2]
    return frequency_S, norm_S, selected


def matched(n=20, seed=0, candidates=None, selected=None):
    frequency_S, norm_S, chosen = latents()
    candidates = np.arange(S) if candidates is None else candidates
    selected = chosen if selected is None else selected
    return matched_sets(frequency_S, norm_S, selected, candidates, n, np.random.default_rng(seed))


def test_matched_sets_are_disjoint_from_the_selection_whole_and_of_candidates_only():
    _, _, selected = latents()
    sets = matched(candidates=np.arange(0, S, 2))
    assert len(sets) == 20
    for m in sets:
        assert len(m.latents) == len(set(m.latents)) == len(selected)
        assert not set(m.latents) & set(selected)
        assert (m.latents % 2 == 0).all() and (np.diff(m.latents) > 0).all()


def test_matched_sets_depend_on_the_generator_alone_and_differ_from_each_other():
    first, again, other = matched(), matched(), matched(seed=1)
    assert [m.latents.tolist() for m in first] == [m.latents.tolist() for m in again]
    assert [m.latents.tolist() for m in first] != [m.latents.tolist() for m in other]
    assert len({tuple(m.latents) for m in first}) > 15


def test_matched_sets_are_closer_than_unmatched_draws():
    frequency_S, norm_S, selected = latents()
    rng, pool = np.random.default_rng(0), np.setdiff1d(np.arange(S), selected)
    draws = [rng.choice(pool, len(selected), replace=False) for _ in range(200)]
    for x_S, ratios in (
        (frequency_S, [m.frequency_ratio for m in matched()]),
        (norm_S, [m.norm_ratio for m in matched()]),
    ):
        unmatched = [x_S[draw].mean() / x_S[selected].mean() for draw in draws]
        assert np.abs(np.log(ratios)).mean() < 0.5 * np.abs(np.log(unmatched)).mean()


def test_ratios_are_what_they_say():
    frequency_S, norm_S, selected = latents()
    for m in matched(n=3):
        assert m.frequency_ratio == pytest.approx(frequency_S[m.latents].mean() / frequency_S[selected].mean())
        assert m.norm_ratio == pytest.approx(norm_S[m.latents].mean() / norm_S[selected].mean())


def test_by_hand_the_only_near_latents_are_drawn():
    """Latents 2-6 sit on latent 0, latents 7-11 on latent 1: with five neighbours each draws from its own."""
    frequency_S = np.array([0.1, 0.001, *[0.1] * 5, *[0.001] * 5])
    norm_S = np.array([1.0, 10.0, *[1.0] * 5, *[10.0] * 5])
    for m in matched_sets(frequency_S, norm_S, np.array([0, 1]), np.arange(12), 10, np.random.default_rng(0)):
        assert 2 <= m.latents[0] <= 6 < m.latents[1] <= 11
        assert (m.frequency_ratio, m.norm_ratio) == (pytest.approx(1), pytest.approx(1))


def test_frequency_and_norm_are_compared_by_their_spread():
    """Log frequencies range over 10, log norms over 0.1: a frequency e^0.5 off is nearer than a norm e^0.1 off."""
    near, far = [(0.5, 0.0)] * 5, [(0.0, 0.1)] * 5
    filler = [(-5.0, 0.05), (-5.0, -0.05), (5.0, 0.05), (5.0, -0.05)] * 5
    frequency_S, norm_S = np.exp(np.array([(0.0, 0.0), *near, *far, *filler])).T
    for m in matched_sets(frequency_S, norm_S, np.array([0]), np.arange(31), 10, np.random.default_rng(0)):
        assert 1 <= m.latents[0] <= 5


def test_too_few_candidates_give_smaller_sets_and_none_give_none():
    _, _, selected = latents()
    free = np.setdiff1d(np.arange(S), selected)
    assert [len(m.latents) for m in matched(n=2, candidates=np.append(selected, free[:3]))] == [3, 3]
    assert matched(candidates=selected) == matched(selected=np.array([], dtype=int)) == []


def test_latents_that_never_fire_or_change_nothing_are_no_controls():
    frequency_S, norm_S, selected = latents()
    pool = np.setdiff1d(np.arange(S), selected)
    frequency_S[pool[::3]], norm_S[pool[1::3]] = 0, 0
    for m in matched_sets(frequency_S, norm_S, selected, np.arange(S), 5, np.random.default_rng(0)):
        assert set(m.latents) <= set(pool[2::3])


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


def test_rescaled_keeps_the_direction():
    assert rescaled(torch.tensor([3.0, -4.0]), 10.0).tolist() == pytest.approx([6.0, -8.0])
    assert rescaled(torch.zeros(2), 10.0).tolist() == [0.0, 0.0]
