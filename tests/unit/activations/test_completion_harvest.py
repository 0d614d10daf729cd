"""Two models forced on the tuned one's text: which positions are read, and who was right."""

import pandas as pd
import pytest
import torch
from tiny_runs import LAYER, relative

from rlgen.activations.completion_harvest import Reading, harvest_completions
from rlgen.activations.completions import Completions
from rlgen.files import ArtifactError, read_tensors, write_tensors
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


@pytest.fixture(params=[(1, False), (3, False), (256, False), (1, True), (3, True), (256, True)])
def harvested(request, models, tokenizer, monkeypatch) -> Completions:
    monkeypatch.setattr("rlgen.models.passes.LEAST", 0)
    reading = Reading(sequences=request.param[0], mixed_lengths=request.param[1])
    behaviours = [behaviour(REFERENCE_CORRECT, dict.fromkeys(TEXTS, "5 5 5")), behaviour(TUNED_CORRECT, TEXTS)]
    return harvest_completions(models, tokenizer, SAMPLES, behaviours, LAYER, reading)


def test_positions_samples_and_tasks_by_hand(harvested):
    """Discovery samples only; a completion of n tokens is n + 1 positions, the first at the prompt's last token."""
    assert harvested.samples == ["s0", "s2", "s3", "s4"]
    assert harvested.tasks == ["max", "add"]
    assert harvested.role_of == {"max": "selection", "add": "in_domain"}
    assert harvested.sample_N.tolist() == [0] * 5 + [1] + [2] * 3 + [3] * 4
    assert harvested.position_N.tolist() == [0, 1, 2, 3, 4, 0, 0, 1, 2, 0, 1, 2, 3]
    assert harvested.sample_task_I.tolist() == [0, 1, 1, 0]


def test_who_was_right_by_hand(harvested):
    assert harvested.reference_correct_I.tolist() == [False, False, True, False]
    assert harvested.tuned_correct_I.tolist() == [True, False, True, True]


def test_what_is_saved_comes_back(harvested, tmp_path):
    path = tmp_path / "completions.safetensors"
    harvested.save(path)
    found = Completions.load(path)
    for name, value in vars(harvested).items():
        same = getattr(found, name) == value
        assert same if isinstance(same, bool) else same.all(), name
    assert read_tensors(path)[0]["task"].tolist() == [0] * 5 + [1] * 4 + [0] * 4


def test_a_file_that_lacks_a_tensor_is_named(harvested, tmp_path):
    path = tmp_path / "completions.safetensors"
    harvested.save(path)
    tensors, metadata = read_tensors(path)
    write_tensors(path, {name: tensor for name, tensor in tensors.items() if name != "position"}, metadata)
    with pytest.raises(ArtifactError, match=r"completions.safetensors: not a completions file .*position"):
        Completions.load(path)


def test_streams_are_of_both_models_on_the_tuned_models_text(harvested, models, tokenizer):
    by_name = {s.sample: s for s in SAMPLES}
    for found_Nd, model in zip((harvested.reference_Nd, harvested.tuned_Nd), models, strict=True):
        expected = []
        for sample in harvested.samples:
            prompt = tokenizer(by_name[sample].prompt)["input_ids"]
            text = tokenizer.convert_tokens_to_ids(TEXTS[sample].split())
            expected.append(residual_stream(model, torch.tensor([prompt + text]), LAYER)[0, len(prompt) - 1 :])
        torch.testing.assert_close(found_Nd, torch.cat(expected), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(harvested.reference_Nd, harvested.tuned_Nd, atol=0.01)
