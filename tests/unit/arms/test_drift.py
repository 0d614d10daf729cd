"""How far an arm has moved: against plain logits and hidden states, for itself, for any batch."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from crosscoders import random_crosscoder
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.arms import drift as module
from rlgen.arms.drift import Text, drift, reference_texts
from rlgen.arms.readouts import Reader
from rlgen.tasks.samples import Sample

LAYER = 1


def sample(task, role, half, i):
    return Sample(task, role, half, f"{task}{i}", f"{task} {i} | 1 2 3 {i} =", str(i), tuple("0123456789"))


SAMPLES = [
    sample(task, role, half, i)
    for task, role in (("add", "in_domain"), ("max", "selection"))
    for half in ("discovery", "test")
    for i in range(6)
]


@pytest.fixture(scope="module")
def arm(tiny_model):
    moved = copy.deepcopy(tiny_model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(0.02 * parameter.std() * torch.randn(parameter.shape, generator=generator))
    return moved


@pytest.fixture(scope="module")
def texts(tiny_model, tokenizer):
    return reference_texts(tiny_model, tokenizer, SAMPLES, 4, 7, seed=0)


def test_texts_are_the_references_own_on_discovery_prompts(texts, tiny_model, tokenizer):
    assert [text.task for text in texts] == ["add"] * 4 + ["max"] * 4
    prompts = [tokenizer.decode(text.prompt, skip_special_tokens=True) for text in texts[:4]]
    assert prompts == [s.prompt for s in SAMPLES if s.task == "add" and s.half == "discovery"][:4]
    assert all(1 <= len(text.completion) <= 7 for text in texts)
    ends = [
        text.completion.index(tokenizer.eos_token_id) for text in texts if tokenizer.eos_token_id in text.completion
    ]
    assert all(
        end == len(t.completion) - 1
        for end, t in zip(ends, [x for x in texts if tokenizer.eos_token_id in x.completion], strict=True)
    )
    assert texts == reference_texts(tiny_model, tokenizer, SAMPLES, 4, 7, seed=0)
    assert texts != reference_texts(tiny_model, tokenizer, SAMPLES, 4, 7, seed=1)


@torch.inference_mode()
def by_hand(reference, arm, text):
    """(KL per token, displacements, shifts, norms) of one text, from the library's own outputs."""
    ids = torch.tensor([text.prompt + text.completion])
    outputs = [model(ids, output_hidden_states=True) for model in (reference, arm)]
    places = range(len(text.prompt) - 1, ids.shape[1] - 1)
    logp, logq = (o.logits[0, list(places)].double().log_softmax(-1) for o in outputs)
    kl = (logp.exp() * (logp - logq)).sum(-1).mean().item()
    before, after = (o.hidden_states[LAYER + 1][0, list(places)].double() for o in outputs)
    return kl, (after - before).norm(dim=1), after - before, before.norm(dim=1)


def test_it_is_what_plain_outputs_say(tiny_model, arm, texts):
    found = drift(tiny_model, arm, texts, LAYER)
    assert found["task"].tolist() == ["add", "max"] and found["role"].tolist() == ["in_domain", "selection"]
    for row in found.itertuples():
        mine = [by_hand(tiny_model, arm, text) for text in texts if text.task == row.task]
        assert row.kl == pytest.approx(np.mean([one[0] for one in mine]), rel=1e-4) and row.kl > 0
        moved, shift, norm = (torch.cat([one[i] for one in mine]) for i in (1, 2, 3))
        assert row.tokens == len(moved) and row.texts == 4
        assert row.displacement == pytest.approx(moved.mean().item(), rel=1e-4)
        assert row.norm == pytest.approx(norm.mean().item(), rel=1e-4)
        np.testing.assert_allclose(row.shift, shift.mean(0), rtol=1e-3, atol=1e-5)


def test_a_model_has_not_moved_from_itself(tiny_model, texts):
    found = drift(tiny_model, tiny_model, texts, LAYER)
    assert (found["kl"].abs() < 1e-6).all() and (found["displacement"] == 0).all()
    assert all(np.all(np.array(shift) == 0) for shift in found["shift"])


@settings(deadline=None, max_examples=10)
@given(most=st.integers(1, 5), lengths=st.lists(st.integers(1, 9), min_size=1, max_size=7))
def test_how_texts_are_batched_changes_nothing(tiny_model, arm, most, lengths):
    texts = [
        Text("add", "in_domain", [1, 5, 6 + i], [7 + (i + j) % 9 for j in range(n)]) for i, n in enumerate(lengths)
    ]
    whole, before = drift(tiny_model, arm, texts, LAYER), module.TEXTS_PER_PASS
    module.TEXTS_PER_PASS = most
    try:
        parts = drift(tiny_model, arm, texts, LAYER)
    finally:
        module.TEXTS_PER_PASS = before
    for name in ("kl", "displacement", "norm"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("model", ["rl", "own"])
def test_readouts_are_the_mean_change_of_every_latents_code(tiny_model, arm, texts, model):
    crosscoder = replace(random_crosscoder(0, d=tiny_model.config.hidden_size), members=["base@1", "rl@5"])
    reader = Reader.of(crosscoder, "swap", model)
    assert reader.member == (1 if model == "rl" else 0)  # what no dictionary knows is read as the reference
    found = drift(tiny_model, arm, texts, LAYER, reader)
    for row in found.itertuples():
        total_S, tokens = 0, 0
        for text in [text for text in texts if text.task == row.task]:
            ids = torch.tensor([text.prompt + text.completion])
            places = slice(len(text.prompt) - 1, -1)
            with torch.no_grad():
                before, after = (
                    m(ids, output_hidden_states=True).hidden_states[LAYER + 1][0, places] for m in (tiny_model, arm)
                )
            total_S = total_S + (
                crosscoder.encode_one(after, reader.member) - crosscoder.encode_one(before, 0)
            ).double().sum(0)
            tokens += len(text.completion)
        np.testing.assert_allclose(row.readout, total_S / tokens, rtol=1e-3, atol=1e-5)
        assert np.abs(row.readout).max() > 0
    assert "readout" not in drift(tiny_model, arm, texts, LAYER)
