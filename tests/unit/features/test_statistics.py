"""Latent statistics: hand-computed numbers, plain float64 loops, and what must hold for any decoder."""

import numpy as np
import pytest
import torch
from crosscoders import activations, random_crosscoder
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.features.contexts import context_table, strongest_rows
from rlgen.features.statistics import (
    decoder_cosine,
    exclusivity,
    latent_scaling,
    latent_table,
    mas,
    nrn,
    scaling_sums,
    sum_latents,
)

seeds = st.integers(0, 10**6)


def test_norm_shares_by_hand():
    W_dec_SMd = torch.tensor([[[3.0, -4.0], [1.0, 0.0]], [[0.0, 0.0], [2.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert nrn(W_dec_SMd, 1).tolist()[:2] == pytest.approx([1 / 8, 1.0])
    assert nrn(W_dec_SMd, 2).tolist()[:2] == pytest.approx([1 / 6, 1.0])
    assert nrn(W_dec_SMd, 1, tuned=0, base=1)[0] == pytest.approx(7 / 8)
    assert nrn(W_dec_SMd, 1)[2].isnan() and mas(W_dec_SMd, 1)[2].isnan().all()
    assert mas(W_dec_SMd, 1)[0].tolist() == pytest.approx([7 / 8, 1 / 8])


def test_cosine_by_hand():
    W_dec_SMd = torch.tensor([[[1.0, 0.0], [3.0, 4.0]], [[1.0, 1.0], [-2.0, -2.0]], [[0.0, 0.0], [1.0, 0.0]]])
    cosine_S = decoder_cosine(W_dec_SMd)
    assert cosine_S.tolist()[:2] == pytest.approx([0.6, -1.0]) and cosine_S[2].isnan()


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(2, 5), st.sampled_from([1, 2]))
def test_shares_are_shares(seed, M, order):
    W_dec_SMd = torch.randn(6, M, 4, generator=torch.Generator().manual_seed(seed)) ** 3
    nrn_S, mas_SM = nrn(W_dec_SMd, order), mas(W_dec_SMd, order)
    assert ((nrn_S >= 0) & (nrn_S <= 1)).all()
    assert torch.allclose(mas_SM.sum(1), torch.ones(6, dtype=torch.float64), atol=1e-12)
    pair_SM = mas(W_dec_SMd[:, [0, -1]], order)
    assert torch.allclose(nrn_S, pair_SM[:, 1])  # of two members the two statistics are one
    swapped_S = nrn(W_dec_SMd, order, tuned=0, base=-1)
    assert torch.allclose(nrn_S + swapped_S, torch.ones_like(nrn_S))


def test_latent_scaling_by_hand():
    """One row, z = 2, d_tuned = (1, 0), d_base = (3, 0), e_base = (4, 9): the target (10, 9) is 5 z d_tuned + rest."""
    W_dec_SMd = torch.tensor([[[3.0, 0.0], [1.0, 0.0]]])
    z_BS, error_BMd = torch.tensor([[2.0]]), torch.tensor([[[4.0, 9.0], [0.0, 1.0]]])
    reconstruction_BMd = torch.tensor([[[6.0, 1.0], [2.0, 0.0]]])
    direction_Sd = W_dec_SMd[:, -1]
    sums = [scaling_sums(z_BS, y_BMd, direction_Sd) for y_BMd in (error_BMd, reconstruction_BMd)]
    beta_err_MS, beta_rec_MS = latent_scaling(*sums, z_BS.double().square().sum(0), W_dec_SMd)
    assert beta_err_MS[:, 0].tolist() == [5.0, 1.0] and beta_rec_MS[:, 0].tolist() == [3.0, 1.0]
    assert exclusivity(beta_err_MS).tolist() == [5.0]
    assert exclusivity(torch.tensor([[1.0, 1.0], [0.01, -0.2]])).tolist() == pytest.approx([np.nan, -5.0], nan_ok=True)


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(2, 3), st.booleans())
def test_one_pass_matches_a_plain_loop(seed, M, thresholded):
    """Every column against loops over rows, the betas against least squares on the targets of their definition."""
    crosscoder = random_crosscoder(seed, M, threshold=1.5 if thresholded else None)
    h_BMd = activations(seed, M=M)
    table = latent_table(crosscoder, sum_latents(crosscoder, h_BMd.split(7)), alive_firings=3)
    W, b = crosscoder.W_dec_SMd.double().numpy(), crosscoder.b_dec_Md.double().numpy()
    z_BS = crosscoder.encode(h_BMd).double().numpy()
    x_BMd = crosscoder.normalise(h_BMd).double().numpy()
    for k in range(W.shape[0]):
        row, fires = table.iloc[k], sum(z_BS[n, k] > 0 for n in range(20))
        assert (row.firings, row.alive, row.frequency) == (fires, fires >= 3, fires / 20)
        assert row.mean_activation == pytest.approx(sum(z_BS[:, k]) / 20, abs=1e-6)
        if not fires:
            assert np.isnan([row.nu_err, row.nu_rec, row.beta_err_0]).all()
            continue
        beta = {"err": [], "rec": []}
        for m in range(M):
            error, latents, x = [], [], []
            for n in range(20):
                rebuilt = sum(z_BS[n, j] * W[j, m] for j in range(W.shape[0]))
                error.append(x_BMd[n, m] - rebuilt - b[m] + z_BS[n, k] * W[k, m])
                latents.append(rebuilt)
                x.append(z_BS[n, k] * W[k, -1])
            for name, y in (("err", error), ("rec", latents)):
                fit = np.linalg.lstsq(np.ravel(x)[:, None], np.ravel(y), rcond=None)[0][0]
                beta[name].append(fit)
                assert row[f"beta_{name}_{m}"] == pytest.approx(fit, rel=1e-4, abs=1e-4)
            own = np.mean([crosscoder.encode_one(h_BMd[n : n + 1, m], m)[0, k].item() for n in range(20)])
            assert row[f"activation_{m}"] == pytest.approx(own, abs=1e-5)
            raw = W[k, m] * crosscoder.scale_M[m].item()
            assert row[f"decoder_norm_{m}"] == pytest.approx(np.sqrt((raw**2).sum()), rel=1e-5)
        if abs(beta["err"][-1]) > 0.06:
            assert row.nu_err == pytest.approx(beta["err"][0] / beta["err"][-1], rel=1e-3, abs=1e-3)
    assert table.nrn_l1[0] == pytest.approx(np.abs(W[0, -1]).sum() / (np.abs(W[0, -1]).sum() + np.abs(W[0, 0]).sum()))


def test_a_shrunken_latent_is_told_from_an_exclusive_one():
    """Both have NRN 1; in the reference the first one's direction is still active, so nu gives it away."""
    W_dec_SMd = torch.tensor([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    g = torch.Generator().manual_seed(0)
    z_BS = torch.rand(200, 2, generator=g)
    tuned_Bd = z_BS @ W_dec_SMd[:, 1]
    base_Bd = torch.stack([0.9 * z_BS[:, 0], torch.zeros(200)], dim=1)
    error_BMd = torch.stack([base_Bd, tuned_Bd - tuned_Bd], dim=1)
    sums = scaling_sums(z_BS, error_BMd, W_dec_SMd[:, -1])
    beta_err_MS, _ = latent_scaling(sums, sums, z_BS.double().square().sum(0), W_dec_SMd)
    assert nrn(W_dec_SMd, 1).tolist() == [1.0, 1.0]
    assert exclusivity(beta_err_MS).tolist() == pytest.approx([0.9, 0.0], abs=1e-6)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="no held-out rows"):
        sum_latents(random_crosscoder(0), [])
    with pytest.raises(ValueError, match="no held-out rows"):
        strongest_rows([], 3)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 9), st.integers(1, 5))
def test_strongest_rows_do_not_depend_on_batches(seed, size, k):
    z_BS = torch.randint(0, 4, (12, 3), generator=torch.Generator().manual_seed(seed)).float()
    best_KS, rows_KS = strongest_rows(z_BS.split(size), k)
    for s in range(3):
        expected = sorted(range(12), key=lambda n: (-z_BS[n, s].item(), n))[:k]
        assert rows_KS[:, s].tolist() == expected and best_KS[:, s].tolist() == z_BS[expected, s].tolist()


def test_contexts_end_at_the_firing_token_and_come_from_different_sequences():
    token_ids_NT = torch.tensor([[5, 6, 7, 8], [9, 5, 6, 0]])
    sequence_R, position_R = torch.tensor([0, 0, 1]), torch.tensor([2, 3, 1])
    z_BS = torch.tensor([[3.0, 0.0], [4.0, 0.0], [1.0, 0.0]])

    def decode(ids):
        return " ".join(f"w{i}" for i in ids)

    table = context_table("rl@5", [z_BS[:2], z_BS[2:]], sequence_R, position_R, token_ids_NT, decode, 2, 3)
    assert table.to_dict("records") == [
        {"latent": 0, "member": "rl@5", "rank": 1, "activation": 4.0, "text": "w6 w7 w8", "token": "w8"},
        {"latent": 0, "member": "rl@5", "rank": 2, "activation": 1.0, "text": "w9 w5", "token": "w5"},
    ]
