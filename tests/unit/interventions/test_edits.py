"""Edits of the residual stream against a slow float64 loop, and inside generation against recomputing every prefix."""

import math

import numpy as np
import pytest
import torch
from crosscoders import random_crosscoder
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import LAYER

from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.dictionaries.member_maps import fit_maps
from rlgen.interventions.controls import rotations
from rlgen.interventions.edits import FeatureEdits, VectorEdits, directions, mean_norms
from rlgen.models.generation import Limits, Prompts, generate
from rlgen.models.hooks import Hook, edited

KINDS = ("exchange", "disable", "scale")
S, D = 7, 5


def streams(seed: int, B: int = 4, T: int = 3, d: int = D) -> torch.Tensor:
    return torch.randn(B, T, d, generator=torch.Generator().manual_seed(seed))


def readout(crosscoder: Crosscoder, h_d: list[float], member: int, kind: str) -> list[float]:
    """f_k of one row, with plain Python numbers (float64)."""
    mean, scale = crosscoder.mean_Md[member].tolist(), crosscoder.scale_M[member].item()
    x = [(h - m) / scale for h, m in zip(h_d, mean, strict=True)]
    M, d = len(crosscoder.members), crosscoder.d
    f = []
    for k in range(crosscoder.n_latents):
        slots = [sum(x[i] * crosscoder.W_enc_MdS[m, i, k].item() for i in range(d)) for m in range(M)]
        pre = crosscoder.b_enc_S[k].item() + (sum(slots) if kind == "swap" else M * slots[member])
        size = sum(math.hypot(*crosscoder.W_dec_SMd[k, m].tolist()) for m in range(M))
        kept = pre > 0 and (crosscoder.threshold is None or pre * size > crosscoder.threshold)
        f.append(pre if kept else 0.0)
    return f


def slow_edit(crosscoder, kind, towards_tuned, h_d, latents, dose, member, read):
    """h plus what section 8 of docs/method.md says is added to it, latent by latent."""
    f, edited_d = readout(crosscoder, h_d, member, read), list(h_d)
    for k in latents:
        for i in range(crosscoder.d):
            reference = crosscoder.W_dec_SMd[k, 0, i].item() * crosscoder.scale_M[0].item()
            tuned = crosscoder.W_dec_SMd[k, -1, i].item() * crosscoder.scale_M[-1].item()
            if kind == "exchange":
                edited_d[i] += dose * f[k] * (tuned - reference) * (1 if towards_tuned else -1)
            elif kind == "disable":
                edited_d[i] -= dose * f[k] * tuned
            else:
                edited_d[i] += dose * f[k] * reference
    return edited_d


def masks(*sets: list[int], s: int = S) -> torch.Tensor:
    """One row of latents per set."""
    return torch.stack([torch.isin(torch.arange(s), torch.tensor(latents, dtype=torch.long)) for latents in sets])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("towards_tuned", [True, False])
@pytest.mark.parametrize("read", ["swap", "own"])
@pytest.mark.parametrize("threshold", [None, 2.0])
def test_edits_equal_the_slow_loop(kind, towards_tuned, read, threshold):
    """Four rows under three conditions, each with its own set and dose."""
    crosscoder = random_crosscoder(3, M=2, threshold=threshold)
    sets, doses, condition = [[0, 2, 5], [], [1, 2, 3, 4]], [1.0, 2.0, 0.7], [2, 0, 1, 0]
    member = 0 if towards_tuned else 1
    direction_Sd = directions(crosscoder, kind, towards_tuned)
    edits = FeatureEdits(crosscoder, member, read, direction_Sd, masks(*sets), torch.tensor(doses))
    h_BTd = streams(0)
    result_BTd = edits.on("cpu").take(torch.tensor(condition))(h_BTd)
    for b, c in enumerate(condition):
        for t in range(3):
            h_d = h_BTd[b, t].tolist()
            expected = slow_edit(crosscoder, kind, towards_tuned, h_d, sets[c], doses[c], member, read)
            torch.testing.assert_close(result_BTd[b, t], torch.tensor(expected), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(result_BTd[0], h_BTd[0])  # the loop was not over zeros


def test_directions_use_the_first_and_the_last_member():
    crosscoder = random_crosscoder(4, M=3)
    reference_Sd = crosscoder.W_dec_SMd[:, 0] * crosscoder.scale_M[0]
    tuned_Sd = crosscoder.W_dec_SMd[:, 2] * crosscoder.scale_M[2]
    torch.testing.assert_close(directions(crosscoder, "exchange", True), tuned_Sd - reference_Sd)
    torch.testing.assert_close(directions(crosscoder, "exchange", False), reference_Sd - tuned_Sd)
    for towards_tuned in (True, False):
        torch.testing.assert_close(directions(crosscoder, "disable", towards_tuned), -tuned_Sd)
        torch.testing.assert_close(directions(crosscoder, "scale", towards_tuned), reference_Sd)
        torch.testing.assert_close(directions(crosscoder, "add", towards_tuned), reference_Sd)


def test_a_running_member_exchanges_its_own_decoder():
    crosscoder = random_crosscoder(4, M=3)
    raw_SMd = crosscoder.decoder_raw_SMd
    torch.testing.assert_close(directions(crosscoder, "exchange", True, member=1), raw_SMd[:, 2] - raw_SMd[:, 1])
    torch.testing.assert_close(directions(crosscoder, "exchange", False, member=2), raw_SMd[:, 0] - raw_SMd[:, 2])


def test_edits_read_a_member_by_what_it_predicts_of_the_others():
    crosscoder = random_crosscoder(6, M=3, threshold=1.0)
    crosscoder.maps = fit_maps([torch.randn(40, 3, 5, generator=torch.Generator().manual_seed(0))])
    direction_Sd, every = directions(crosscoder, "exchange", True, 1), masks(range(7))
    edits = FeatureEdits(crosscoder, 1, "mapped", direction_Sd, every, torch.ones(1))
    h_BTd = streams(0)
    expected_BTd = crosscoder.encode_one(h_BTd, 1, "mapped") @ direction_Sd
    added_BTd = edits.on("cpu").take(torch.zeros(len(h_BTd), dtype=torch.long))(h_BTd) - h_BTd
    assert added_BTd.abs().max() > 0.1
    torch.testing.assert_close(added_BTd, expected_BTd, rtol=1e-3, atol=1e-3)


def test_constant_vectors_by_hand():
    edits = VectorEdits(torch.tensor([[1.0, 0.0], [0.0, -2.0]]))
    h_BTd = torch.tensor([[[1.0, 1.0], [3.0, 3.0]], [[5.0, 5.0], [7.0, 7.0]]])
    expected = torch.tensor([[[1.0, -1.0], [3.0, 1.0]], [[6.0, 5.0], [8.0, 7.0]]])
    assert torch.equal(edits.on("cpu").take(torch.tensor([1, 0]))(h_BTd), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_dose_zero_and_the_empty_set_change_nothing(kind):
    crosscoder, h_BTd = random_crosscoder(5), streams(1, B=2)
    edits = FeatureEdits(
        crosscoder, 0, "swap", directions(crosscoder, kind, True), masks(range(S), []), torch.tensor([0.0, 3.0])
    )
    assert torch.equal(edits.on("cpu").take(torch.tensor([0, 1]))(h_BTd), h_BTd)


def rotated_edits(crosscoder, conditions: int, seed: int = 0, rotated: bool = True) -> FeatureEdits:
    generator = torch.Generator().manual_seed(seed)
    mask_CS = torch.rand(conditions, crosscoder.n_latents, generator=generator) < 0.5
    dose_C = torch.rand(conditions, generator=generator) * 3
    turn = rotations(conditions, crosscoder.d, np.random.default_rng(seed)) if rotated else (None, None)
    return FeatureEdits(crosscoder, 0, "swap", directions(crosscoder, "exchange", True), mask_CS, dose_C, *turn)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), rotated=st.booleans(), condition=st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_conditions_side_by_side_equal_one_at_a_time(seed, rotated, condition):
    edits = rotated_edits(random_crosscoder(seed), 4, seed, rotated)
    h_BTd = streams(seed, B=len(condition))
    together_BTd = edits.on("cpu").delta(torch.tensor(condition))(h_BTd)
    for b, c in enumerate(condition):
        alone_1Td = edits.on("cpu").delta(torch.tensor([c]))(h_BTd[b : b + 1])
        torch.testing.assert_close(together_BTd[b : b + 1], alone_1Td, rtol=1e-4, atol=1e-5)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_rotations_preserve_lengths_and_angles_and_differ(seed):
    crosscoder = random_crosscoder(seed)
    turned, plain = rotated_edits(crosscoder, 3, seed), rotated_edits(crosscoder, 3, seed, rotated=False)
    h_BTd, condition_B = streams(seed, B=3, T=4), torch.arange(3)
    after_BTd, before_BTd = (edits.on("cpu").delta(condition_B)(h_BTd) for edits in (turned, plain))
    torch.testing.assert_close(after_BTd @ after_BTd.mT, before_BTd @ before_BTd.mT, rtol=1e-4, atol=1e-4)
    for b in range(3):
        matrix_dd = torch.zeros(D, D)  # column i of the rotated change is +-1 times column order[i] of the change
        matrix_dd[turned.order_Cd[b], torch.arange(D)] = turned.sign_Cd[b]
        torch.testing.assert_close(after_BTd[b], before_BTd[b] @ matrix_dd, rtol=1e-5, atol=1e-5)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**31), M=st.integers(2, 3), threshold=st.sampled_from([None, 1.5]), towards_tuned=st.booleans()
)
def test_exchange_of_all_features_swaps_the_reconstruction(seed, M, threshold, towards_tuned):
    """At dose 1: h - h^_base + h^_rl of the one-sided code, for a shared mean, scale and decoder bias."""
    crosscoder = random_crosscoder(seed, M=M, threshold=threshold)
    for name in ("mean_Md", "b_dec_Md"):
        setattr(crosscoder, name, getattr(crosscoder, name)[:1].repeat(M, 1))
    crosscoder.scale_M = crosscoder.scale_M[:1].repeat(M)
    running, goal = (0, M - 1) if towards_tuned else (M - 1, 0)
    h_BTd = streams(seed, B=2)
    for read in ("swap", "own"):
        everything = FeatureEdits(
            crosscoder,
            running,
            read,
            directions(crosscoder, "exchange", towards_tuned),
            torch.ones(1, S, dtype=torch.bool),
            torch.ones(1),
        )
        both_BTMd = crosscoder.decode(crosscoder.encode_one(h_BTd.flatten(0, 1), running, read)).unflatten(0, (2, 3))
        expected_BTd = h_BTd - both_BTMd[:, :, running] + both_BTMd[:, :, goal]
        result_BTd = everything.on("cpu").take(torch.zeros(2, dtype=torch.long))(h_BTd)
        torch.testing.assert_close(result_BTd, expected_BTd, rtol=1e-4, atol=1e-4)


def test_mean_norms_are_the_mean_lengths_of_what_is_added():
    edits = rotated_edits(random_crosscoder(8), 3)
    h_Nd = streams(2, B=1, T=30)[0]
    lengths = [edits.on("cpu").delta(torch.tensor([2]))(h_d[None, None])[0, 0].norm().item() for h_d in h_Nd]
    assert mean_norms(edits, 3, h_Nd)[2] == pytest.approx(sum(lengths) / 30, rel=1e-5)


TEXTS = ["add 8 | 9 6 5 6 =", "par even | 3 2 =", "max 3 ="]
NEW = 8


@torch.inference_mode()
def recomputed(model, tokenizer, text, edit, everywhere):
    """Every token from one forward over the whole prefix, edited from the last prompt token on (or everywhere)."""
    ids, new = tokenizer(text)["input_ids"], []
    for _ in range(NEW):
        with edited(model, Hook(edit, LAYER), 1 if everywhere else len(ids) - 1):
            new.append(int(model(torch.tensor([ids + new]), use_cache=False).logits[0, -1].argmax()))
        if new[-1] == tokenizer.eos_token_id:
            break
    return new


@pytest.mark.parametrize("everywhere", [False, True])
def test_edits_inside_cached_generation_equal_recomputing_every_prefix(tiny_model, tokenizer, everywhere):
    """Three prompts under two sets and dose 0, batched with a KV cache, against one prompt at a time without."""
    crosscoder = random_crosscoder(1, S=20, d=tiny_model.config.hidden_size)
    edits = FeatureEdits(
        crosscoder,
        0,
        "swap",
        directions(crosscoder, "exchange", True),
        masks(range(8), range(8, 20), range(20), s=20),
        torch.tensor([0.5, 1.0, 0.0]),
    )
    prompts = Prompts.encode(tokenizer, TEXTS * 3)
    condition_B = torch.arange(3).repeat_interleave(3)

    hook, limits = Hook(edits.on("cpu"), LAYER, everywhere, condition_B), Limits.of(tokenizer, NEW)
    rows = generate(tiny_model, prompts, limits, hook).tolist()
    for row, condition, text in zip(rows, condition_B, TEXTS * 3, strict=True):
        expected = recomputed(tiny_model, tokenizer, text, edits.on("cpu").take(condition[None]), everywhere)
        assert row == expected + [limits.pad_id] * (len(row) - len(expected))
    plain = generate(tiny_model, Prompts.encode(tokenizer, TEXTS), limits).tolist()
    assert [row[: len(plain[0])] for row in rows[6:]] == plain  # dose 0
    assert rows[:3] != rows[6:] != rows[3:6] != rows[:3]
