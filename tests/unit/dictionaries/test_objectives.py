"""The losses, against hand-computed numbers and plain float64 loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.dictionaries.objectives import (
    auxiliary_loss,
    batchtopk,
    kth_largest,
    l1_penalty,
    latent_norms,
    reconstruction_loss,
)

seeds = st.integers(0, 2**31)


def randn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_norms_add_over_members():
    W_dec_SMd = torch.tensor([[[3.0, 4.0], [0.0, 1.0]], [[0.0, 0.0], [6.0, 8.0]]])
    assert latent_norms(W_dec_SMd).tolist() == [6.0, 10.0]


def test_the_reconstruction_loss_sums_over_members_and_coordinates():
    rows_BMd = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert reconstruction_loss(rows_BMd, torch.zeros(2, 2, 2)).item() == (1 + 4 + 9 + 16) / 2


def test_the_penalty_weighs_by_norm():
    assert l1_penalty(torch.tensor([[1.0, 0.0], [2.0, 3.0]]), torch.tensor([6.0, 10.0])).item() == (6 + 12 + 30) / 2


def test_batchtopk_keeps_the_largest_weighted_values_of_the_batch():
    pre_BS = torch.tensor([[5.0, 1.0, -9.0], [0.5, 0.9, 0.1]])
    norms_S = torch.tensor([1.0, 4.0, 100.0])  # weighted: 5, 4, 0 / 0.5, 3.6, 10
    z_BS, cut = batchtopk(pre_BS, norms_S, k=1)
    assert torch.equal(z_BS, torch.tensor([[5.0, 0.0, 0.0], [0.0, 0.0, 0.1]]))  # one row could also have kept two
    assert cut.item() == 5.0
    z_BS, cut = batchtopk(pre_BS, torch.tensor([1.0, 4.0, 0.0]), k=1)
    assert torch.equal(z_BS, torch.tensor([[5.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    assert cut.item() == 4.0


def test_batchtopk_never_keeps_what_is_not_positive():
    z_BS, cut = batchtopk(torch.tensor([[-1.0, -2.0], [3.0, 0.0]]), torch.ones(2), k=2)
    assert z_BS.tolist() == [[0.0, 0.0], [3.0, 0.0]]
    assert cut.item() == 0.0


@settings(deadline=None)
@given(seed=seeds, B=st.integers(1, 9), S=st.integers(1, 12), data=st.data())
def test_batchtopk_matches_a_plain_loop(seed, B, S, data):
    k = data.draw(st.integers(1, S))
    pre_BS, norms_S = randn(seed, B, S), randn(seed + 1, S).abs()
    z_BS, cut = batchtopk(pre_BS, norms_S, k)
    weighted = sorted(
        ((max(pre_BS[b, s].item(), 0) * norms_S[s].item(), b, s) for b in range(B) for s in range(S)), reverse=True
    )
    kept = {(b, s) for value, b, s in weighted[: B * k] if value > 0}
    for b in range(B):
        for s in range(S):
            assert z_BS[b, s].item() == (pre_BS[b, s].item() if (b, s) in kept else 0.0)
    assert cut.item() == weighted[B * k - 1][0]


@settings(deadline=None)
@given(seed=seeds, factor=st.floats(0.1, 10))
def test_batchtopk_does_not_care_how_a_latents_size_is_split(seed, factor):
    """Scaling a decoder row up and its encoder down changes neither the choice nor the reconstruction."""
    pre_BS, W_dec_SMd = randn(seed, 6, 10), randn(seed + 1, 10, 2, 3)
    scale_S = torch.ones(10, dtype=torch.float64)
    scale_S[::2] = factor
    plain_BS, cut = batchtopk(pre_BS, latent_norms(W_dec_SMd), 2)
    scaled_SMd = W_dec_SMd / scale_S[:, None, None]
    scaled_BS, scaled_cut = batchtopk(pre_BS * scale_S, latent_norms(scaled_SMd), 2)
    torch.testing.assert_close(scaled_BS / scale_S, plain_BS)
    torch.testing.assert_close(scaled_cut, cut)


def test_batchtopk_gradients_reach_the_kept_values_only():
    pre_BS = torch.tensor([[5.0, 1.0], [0.5, 0.9]], requires_grad=True)
    z_BS, _ = batchtopk(pre_BS, torch.ones(2), k=1)
    z_BS.sum().backward()
    assert pre_BS.grad.tolist() == [[1.0, 1.0], [0.0, 0.0]]


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=30), st.data())
def test_kth_largest_matches_sorting(values, data):
    k = data.draw(st.integers(1, len(values)))
    assert kth_largest(torch.tensor(values), k).item() == sorted(values, reverse=True)[k - 1]


def test_the_auxiliary_loss_by_hand():
    residual_BMd = torch.tensor([[[1.0], [2.0]]])
    W_dec_DMd = torch.tensor([[[1.0], [0.0]], [[0.0], [1.0]], [[9.0], [9.0]]])
    pre_BD = torch.tensor([[0.5, 2.0, -3.0]])
    assert auxiliary_loss(residual_BMd, pre_BD, W_dec_DMd, aux_k=1).item() == 1.0  # latent 1 alone: (1-0)^2 + (2-2)^2
    assert auxiliary_loss(residual_BMd, pre_BD, W_dec_DMd, aux_k=2).item() == 0.25
    assert auxiliary_loss(residual_BMd, pre_BD, W_dec_DMd, aux_k=9).item() == 0.25  # the negative one does not fire


@settings(deadline=None)
@given(seed=seeds, B=st.integers(1, 5), D=st.integers(1, 8), aux_k=st.integers(1, 9))
def test_the_auxiliary_loss_matches_a_plain_loop(seed, B, D, aux_k):
    M, d = 2, 3
    residual_BMd, pre_BD, W_dec_DMd = randn(seed, B, M, d), randn(seed + 1, B, D), randn(seed + 2, D, M, d)
    total = 0.0
    for b in range(B):
        fired = sorted(range(D), key=lambda k: -pre_BD[b, k].item())[:aux_k]
        for m in range(M):
            for i in range(d):
                estimate = sum(max(pre_BD[b, k].item(), 0) * W_dec_DMd[k, m, i].item() for k in fired)
                total += (residual_BMd[b, m, i].item() - estimate) ** 2
    got = auxiliary_loss(residual_BMd, pre_BD, W_dec_DMd, aux_k).item()
    assert math.isclose(got, total / B, rel_tol=1e-9)


def test_the_auxiliary_loss_leaves_the_residual_alone():
    residual_BMd = torch.ones(1, 2, 1, requires_grad=True)
    pre_BD = torch.ones(1, 1, requires_grad=True)
    auxiliary_loss(residual_BMd, pre_BD, torch.full((1, 2, 1), 0.5), 1).backward()
    assert residual_BMd.grad is None
    assert pre_BD.grad.item() == pytest.approx(-1.0)  # d/dz sum_m (1 - 0.5 z)^2 at z = 1
