"""Steps in a task's own format, and what answering without the prompt reaches."""

import pytest
import torch

from rlgen.behaviour.evaluator import Evaluator
from rlgen.behaviour.own_format import commonest, guesses, own_format
from rlgen.organism.settings import Split
from rlgen.organism.tasks import evaluation_samples
from rlgen.tasks.samples import Sample


@torch.inference_mode()
def slow_share(model, tokenizer, sample: Sample) -> float:
    """One sample, one step at a time."""
    right = 0
    for i, word in enumerate(sample.trace):
        ids = tokenizer(" ".join([sample.prompt, *sample.trace[:i]]))["input_ids"]
        logits_V = model(torch.tensor([ids])).logits[0, -1]
        choices = tokenizer.convert_tokens_to_ids(list(sample.choices))
        right += sample.choices[int(logits_V[choices].argmax())] == word
    return right / len(sample.trace)


@pytest.mark.parametrize("batch_size", [5, 100])
def test_shares_equal_a_loop_over_steps(tiny_model, tokenizer, batch_size):
    samples = [s for task in ("par", "max") for s in evaluation_samples(task, "selection", 8, "s", Split())]
    shares = own_format(tiny_model, Evaluator(samples, tokenizer, 4, ";", batch_size))
    expected = [slow_share(tiny_model, tokenizer, s) for s in samples]
    assert shares == pytest.approx(expected) and len(set(expected)) > 2


def sample(half: str, *trace: str, task: str = "t") -> Sample:
    return Sample(task, "selection", half, "", "", trace[-1], ("a", "b", "c"), trace)


def test_guesses_are_chosen_on_the_discovery_half_and_scored_everywhere():
    """Step 1: a, a, b -> a. Step 2: c, b, b -> b. The test half would have said c twice."""
    discovery = [sample("discovery", *t) for t in ("ac", "ab", "bb")]
    test = [sample("test", *t) for t in ("cc", "ac", "cb")]
    assert (commonest([*discovery, *test], 0), commonest([*discovery, *test], -1)) == ({"t": "a"}, {"t": "b"})
    found = guesses([*discovery, *test])
    assert found["guess"] == [False, True, True, False, False, True]
    assert found["own_format_guess"] == [0.5, 1.0, 0.5, 0.0, 0.5, 0.5]


def test_every_task_has_a_guess_of_its_own():
    found = guesses([sample("discovery", "a"), sample("discovery", "b", task="u"), sample("test", "b", task="u")])
    assert found["guess"] == [True, True, True]


def test_samples_without_steps_are_refused(tiny_model, tokenizer):
    bare = Sample("t", "selection", "test", "", "max 1 =", "1", ("1", "2"))
    with pytest.raises(ValueError, match=r"samples with \[0\] steps"):
        guesses([bare])
    with pytest.raises(ValueError, match=r"samples with \[1, 2\] steps"):
        guesses([sample("test", "a"), sample("test", "a", "b")])
