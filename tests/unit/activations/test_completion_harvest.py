"""Two models forced on the tuned one's text: which positions are read, and who was right."""

import json

import pandas as pd
import pytest
import torch
from tiny_runs import LAYER, relative

from rlgen.activations import completion_harvest as module
from rlgen.activations.completion_harvest import harvest_completions
from rlgen.models.residual import residual_stream
from rlgen.tasks.samples import Sample

DIGITS = tuple("0123456789")
SAMPLES = [
    Sample("max", "selection", "discovery", "s0", "max 3 | 1 2 =", "3", DIGITS),
    Sample("max", "selection", "test", "s1", "max 4 | 1 2 =", "4", DIGITS),
    Sample("add", "in_domain", "discovery", "s2", "add 3 | 1 2 4 =", "0", DIGITS),
    Sample("add", "in_domain", "discovery", "s3", "add 3 =", "3", DIGITS),
    Sample("max", "selection", "discovery", "s4", "max 9 =", "9", DIGITS),
]
TEXTS = {"s0": "3 3 ; 3", "s1": "4 ; 4", "s2": "", "s3": "; 3", "s4": "9 9 9"}
REFERENCE_CORRECT = {"s0": False, "s1": True, "s2": False, "s3": True, "s4": False}
TUNED_CORRECT = {"s0": True, "s1": False, "s2": False, "s3": True, "s4": True}


def behaviour(correct: dict[str, bool], texts: dict[str, str]) -> pd.DataFrame:
    """A table in another order than the samples, as files may have it."""
    names = sorted(correct, reverse=True)
    return pd.DataFrame(
        {"sample": names, "correct": [correct[s] for s in names], "completion": [texts[s] for s in names]}
    )


@pytest.fixture(scope="module")
def models(tiny_model):
    return [tiny_model, relative(tiny_model)]


@pytest.fixture(params=[1, 3, 256])
def harvested(request, models, tokenizer, monkeypatch):
    monkeypatch.setattr(module, "SEQUENCES_PER_BATCH", request.param)
    behaviours = [behaviour(REFERENCE_CORRECT, dict.fromkeys(TEXTS, "5 5 5")), behaviour(TUNED_CORRECT, TEXTS)]
    tensors, metadata = harvest_completions(models, tokenizer, SAMPLES, behaviours, LAYER)
    return tensors, {key: json.loads(value) for key, value in metadata.items()}


def test_positions_samples_and_tasks_by_hand(harvested):
    """Discovery samples only; a completion of n tokens is n + 1 positions, the first at the prompt's last token."""
    tensors, metadata = harvested
    assert metadata["samples"] == ["s0", "s2", "s3", "s4"]
    assert metadata["tasks"] == ["max", "add"]
    assert metadata["roles"] == {"max": "selection", "add": "in_domain"}
    assert tensors["sample"].tolist() == [0] * 5 + [1] + [2] * 3 + [3] * 4
    assert tensors["position"].tolist() == [0, 1, 2, 3, 4, 0, 0, 1, 2, 0, 1, 2, 3]
    assert tensors["sample_task"].tolist() == [0, 1, 1, 0]
    assert tensors["task"].tolist() == [0] * 5 + [1] * 4 + [0] * 4


def test_who_was_right_by_hand(harvested):
    tensors, _ = harvested
    assert tensors["reference_correct"].tolist() == [0, 0, 1, 0]
    assert tensors["tuned_correct"].tolist() == [1, 0, 1, 1]


def test_streams_are_of_both_models_on_the_tuned_models_text(harvested, models, tokenizer):
    tensors, metadata = harvested
    by_name = {s.sample: s for s in SAMPLES}
    for name, model in zip(("reference", "tuned"), models, strict=True):
        expected = []
        for sample in metadata["samples"]:
            prompt = tokenizer(by_name[sample].prompt)["input_ids"]
            text = tokenizer.convert_tokens_to_ids(TEXTS[sample].split())
            expected.append(residual_stream(model, torch.tensor([prompt + text]), LAYER)[0, len(prompt) - 1 :])
        torch.testing.assert_close(tensors[name], torch.cat(expected), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(tensors["reference"], tensors["tuned"], atol=0.01)
