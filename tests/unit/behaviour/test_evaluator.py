"""Scores of a model, many samples at once, against a loop over single samples."""

import copy
from types import SimpleNamespace

import pytest
import torch

from rlgen.behaviour.evaluator import Evaluator
from rlgen.models.hooks import Hook
from rlgen.organism.settings import Split
from rlgen.organism.tasks import evaluation_samples
from rlgen.tasks.answers import final_answer
from rlgen.tasks.samples import Sample

MARKER, N = ";", 8


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [s for task in ("par", "max") for s in evaluation_samples(task, "selection", 6, "s", Split())]


@pytest.fixture(scope="module")
def talkative(tiny_model, tokenizer):
    """The tiny model, made to write the marker now and then (a bias raises its logit)."""
    model = copy.deepcopy(tiny_model)
    head = torch.nn.Linear(model.config.hidden_size, len(tokenizer), bias=True)
    with torch.no_grad():
        head.weight.copy_(tiny_model.lm_head.weight)
        head.bias.zero_()
        head.bias[tokenizer.convert_tokens_to_ids(MARKER)] = 0.9
        head.bias[tokenizer.convert_tokens_to_ids(["even", "odd", "1", "5", "."])] = 0.7
    model.lm_head = head
    return model


@torch.inference_mode()
def slow_scores(model, tokenizer, sample: Sample) -> tuple[str, bool, bool, float, int]:
    """One sample: completion, correct, format-blind, log-probability of the answer, length."""
    ids, new = tokenizer(sample.prompt)["input_ids"], []
    while len(new) < N and (not new or new[-1] != tokenizer.eos_token_id):
        new.append(int(model(torch.tensor([ids + new])).logits[0, -1].argmax()))
    words = tokenizer.convert_ids_to_tokens(new)
    reasoning = words[: words.index(MARKER)] if MARKER in words else [w for w in words if w != "."]
    asked = ids + tokenizer.convert_tokens_to_ids([*reasoning, MARKER])
    logprob_V = model(torch.tensor([asked])).logits[0, -1].log_softmax(-1)
    value = {word: float(logprob_V[tokenizer.convert_tokens_to_ids(word)]) for word in (*sample.choices, sample.answer)}
    text = tokenizer.decode(new, skip_special_tokens=True)
    best = max(sample.choices, key=value.get)
    return text, final_answer(text, MARKER) == sample.answer, best == sample.answer, value[sample.answer], len(new)


@pytest.mark.parametrize("which", ["tiny_model", "talkative"])
@pytest.mark.parametrize("batch_size", [5, 100])
def test_scores_equal_the_slow_loop(which, batch_size, samples, tokenizer, request):
    model = request.getfixturevalue(which)
    scores = Evaluator(samples, tokenizer, N, MARKER, batch_size).score(model)
    expected = [slow_scores(model, tokenizer, s) for s in samples]
    texts, correct, blind, logprob, length = map(list, zip(*expected, strict=True))
    assert scores.completions == texts
    assert scores.correct_B.tolist() == correct
    assert scores.format_blind_B.tolist() == blind
    assert scores.length_B.tolist() == length
    torch.testing.assert_close(scores.answer_logprob_B, torch.tensor(logprob), rtol=1e-4, atol=1e-4)


def test_both_kinds_of_completion_were_tried(samples, tokenizer, tiny_model, talkative):
    """With the marker and without it, else the comparison above would miss a branch."""
    texts = [
        text
        for model in (tiny_model, talkative)
        for text in Evaluator(samples, tokenizer, N, MARKER, 50).score(model).completions
    ]
    assert 0 < sum(MARKER in text.split() for text in texts) < len(texts)


def test_edits_of_repeated_rows_run_side_by_side(samples, tokenizer, talkative):
    """Rows 0, 1, 2 thrice, with doses 0, 1, 2, in batches that cut across: each equals its own run."""
    evaluator = Evaluator(samples, tokenizer, N, MARKER, batch_size=4)
    direction_d = torch.randn(talkative.config.hidden_size, generator=torch.Generator().manual_seed(1)) * 5
    rows_R, dose_R = torch.arange(3).repeat(3), torch.arange(3.0).repeat_interleave(3)

    def push(dose_B):
        return lambda h_BTd: h_BTd + dose_B[:, None, None] * direction_d

    together = evaluator.score(talkative, rows_R, Hook(SimpleNamespace(take=push), layer=1, which_B=dose_R))
    for dose in range(3):
        alone = evaluator.score(talkative, torch.arange(3), Hook(push(torch.full((1,), dose)), layer=1))
        part = slice(3 * dose, 3 * dose + 3)
        assert together.completions[part] == alone.completions
        torch.testing.assert_close(together.answer_logprob_B[part], alone.answer_logprob_B, rtol=1e-4, atol=1e-4)
    plain = evaluator.score(talkative, torch.arange(3))
    assert together.completions[:3] == plain.completions != together.completions[6:]


def test_the_table_has_one_row_per_sample(samples, tokenizer, tiny_model):
    evaluator = Evaluator(samples, tokenizer, N, MARKER, 100)
    table = evaluator.table(evaluator.score(tiny_model))
    assert {len(column) for column in table.values()} == {len(samples)}
    assert table["sample"] == [s.sample for s in samples] and table["half"] == [s.half for s in samples]
    assert all(isinstance(value, bool) for name in ("correct", "format_blind") for value in table[name])
