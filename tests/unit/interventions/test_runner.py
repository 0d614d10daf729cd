"""Running many conditions side by side: rows in order, KL against a slow loop, the stream on a goal's text."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from crosscoders import random_crosscoder
from tiny_runs import LAYER, N, evaluator, relative, runner

from rlgen.interventions.edits import FeatureEdits, VectorEdits, directions
from rlgen.interventions.runner import Condition
from rlgen.models.hooks import Hook, edited
from rlgen.models.residual import residual_stream

DOSES = [0.0, 0.5, 1.5]
CONDITIONS = [Condition(f"set{i}", dose, {"delta_norm": 2 * dose} if i else {}) for i, dose in enumerate(DOSES)]
CHOSEN = [0, 3, 5, 10]


@pytest.fixture(scope="module")
def tuned_model(tiny_model, tokenizer):
    """Another model, which ends some completions early (a bias raises the end of sequence's logit)."""
    model = relative(tiny_model)
    head = torch.nn.Linear(model.config.hidden_size, len(tokenizer))
    with torch.no_grad():
        head.weight.copy_(model.lm_head.weight)
        head.bias.zero_()[tokenizer.eos_token_id] = 0.6
    model.lm_head = head
    return model


@pytest.fixture(scope="module")
def goal(tuned_model, tokenizer):
    goal = runner(tuned_model, tokenizer).goal()
    text, length_N = goal.text_NT, goal.mask_NT.sum(1)
    assert torch.equal(goal.mask_NT, torch.arange(text.shape[1]) < length_N[:, None])  # no padding inside a text
    assert len(set(map(tuple, text.tolist()))) > 3 and len(set(length_N[CHOSEN].tolist())) > 1
    return goal


@pytest.fixture(scope="module")
def edits(tiny_model):
    crosscoder = random_crosscoder(2, S=20, d=tiny_model.config.hidden_size)
    mask_CS = torch.ones(len(DOSES), 20, dtype=torch.bool)
    return FeatureEdits(crosscoder, 0, "swap", directions(crosscoder, "exchange", True), mask_CS, torch.tensor(DOSES))


@torch.inference_mode()
def slow_text(model, tokenizer, prompt):
    """Greedy completion without batch or cache, as token ids."""
    ids, new = tokenizer(prompt)["input_ids"], []
    while len(new) < N and (not new or new[-1] != tokenizer.eos_token_id):
        new.append(int(model(torch.tensor([ids + new])).logits[0, -1].argmax()))
    return ids, new


@torch.inference_mode()
def slow_kl(goal_model, edited_model, tokenizer, prompt, edit=None):
    """Mean over the goal's greedy tokens of KL(goal || edited), every prefix computed alone, sums in float64."""
    ids, new = slow_text(goal_model, tokenizer, prompt)
    terms = []
    for n in range(len(new)):
        prefix = torch.tensor([ids + new[:n]])
        p_V = goal_model(prefix).logits[0, -1].double().log_softmax(-1)
        with edited(edited_model, Hook(edit, LAYER) if edit else None, len(ids) - 1):
            q_V = edited_model(prefix).logits[0, -1].double().log_softmax(-1)
        terms.append(sum(float(p.exp() * (p - q)) for p, q in zip(p_V, q_V, strict=True)))
    return sum(terms) / len(terms)


def test_a_goal_is_the_models_own_greedy_behaviour(goal, tuned_model, tokenizer):
    for row, sample in enumerate(evaluator(tokenizer).samples):
        ids, new = slow_text(tuned_model, tokenizer, sample.prompt)
        assert goal.text_NT[row][goal.mask_NT[row]].tolist() == new
        with torch.inference_mode():
            expected = tuned_model(torch.tensor([ids + new])).logits[0, len(ids) - 1 : -1].log_softmax(-1)
        torch.testing.assert_close(goal.logprob_NTV[row, : len(new)], expected, rtol=1e-4, atol=1e-4)


def test_a_goal_does_not_depend_on_the_batch(goal, tuned_model, tokenizer):
    small = runner(tuned_model, tokenizer, batch_size=5).goal()
    assert torch.equal(small.text_NT, goal.text_NT) and torch.equal(small.mask_NT, goal.mask_NT)
    torch.testing.assert_close(small.logprob_NTV[goal.mask_NT], goal.logprob_NTV[goal.mask_NT], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch_size", [5, 100])
def test_rows_are_condition_by_condition_in_the_order_of_the_samples(tiny_model, tokenizer, goal, edits, batch_size):
    """Each row names its condition and sample, and holds what that sample scores when it runs alone."""
    run = runner(tiny_model, tokenizer, batch_size)
    table = run.run(CONDITIONS, edits, CHOSEN, goal)
    samples = [run.evaluator.samples[i] for i in CHOSEN]
    assert table["set"].tolist() == [f"set{i}" for i in range(3) for _ in CHOSEN]
    assert table["dose"].tolist() == [dose for dose in DOSES for _ in CHOSEN]
    for column in ("task", "role", "half", "sample"):
        assert table[column].tolist() == [getattr(s, column) for s in samples] * 3
    assert table["delta_norm"].isna().tolist() == [True] * 4 + [False] * 8
    assert table["delta_norm"].tolist()[4:] == [1.0] * 4 + [3.0] * 4
    for row, (c, i) in enumerate((c, i) for c in range(3) for i in CHOSEN):
        hook = Hook(edits.on("cpu").take(torch.tensor([c])), LAYER)
        alone = run.evaluator.score(tiny_model, torch.tensor([i]), hook)
        assert table["correct"][row] == bool(alone.correct_B) and table["format_blind"][row] == bool(
            alone.format_blind_B
        )
        assert table["answer_logprob"][row] == pytest.approx(float(alone.answer_logprob_B), rel=1e-4, abs=1e-4)
    logprob = table["answer_logprob"].to_numpy().reshape(3, -1)
    assert abs(logprob[0] - logprob[2]).max() > 0.1  # the doses do something


def test_edits_go_to_the_models_device_once_per_run(tiny_model, tokenizer, goal, edits, monkeypatch):
    """Whatever the number of batches, and with the latents of its conditions alone."""
    few, placed, on = replace(edits, mask_CS=edits.mask_CS & (torch.arange(20) < 3)), [], FeatureEdits.on
    monkeypatch.setattr(FeatureEdits, "on", lambda self, device: placed.append(on(self, device)) or placed[-1])
    runner(tiny_model, tokenizer, 2).run(CONDITIONS, few, CHOSEN, goal)
    assert [tuple(there.readout.W_dS.shape) for there in placed] == [(tiny_model.config.hidden_size, 3)]


def test_kl_equals_the_slow_loop(tiny_model, tuned_model, tokenizer, goal, edits):
    run = runner(tiny_model, tokenizer, batch_size=5)
    table = run.run(CONDITIONS, edits, CHOSEN, goal)
    expected = [
        slow_kl(
            tuned_model, tiny_model, tokenizer, run.evaluator.samples[i].prompt, edits.on("cpu").take(torch.tensor([c]))
        )
        for c in range(3)
        for i in CHOSEN
    ]
    assert table["kl"].tolist() == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert min(expected) > 0.01


def test_an_unedited_model_is_at_no_distance_from_itself(tuned_model, tokenizer, goal):
    table = runner(tuned_model, tokenizer).run([Condition("none", 0.0)], None, range(12), goal)
    assert table["kl"].abs().max() < 1e-5


def test_without_an_edit_or_with_dose_zero_the_model_runs_as_it_is(tiny_model, tokenizer, goal):
    run = runner(tiny_model, tokenizer)
    none = run.run([Condition("none", 0.0)], None, range(12), goal)
    zero = run.run(
        [Condition("none", 0.0)], VectorEdits(torch.zeros(1, tiny_model.config.hidden_size)), range(12), goal
    )
    assert none.equals(zero)
    plain = run.evaluator.score(tiny_model)
    assert none["correct"].tolist() == plain.correct_B.tolist()
    assert none["answer_logprob"].tolist() == pytest.approx(plain.answer_logprob_B.tolist(), rel=1e-5)


def test_without_a_goal_there_is_no_distance(tiny_model, tokenizer):
    table = runner(tiny_model, tokenizer).run([Condition("none", 0.0)], None, CHOSEN)
    assert table["kl"].isna().all()


@pytest.mark.parametrize("everywhere", [False, True])
def test_edited_positions(tiny_model, tokenizer, goal, everywhere):
    """`positions: all` reaches the prompt too, and so changes what follows."""
    edits = VectorEdits(torch.full((1, tiny_model.config.hidden_size), 2.0))
    run = runner(tiny_model, tokenizer, everywhere=everywhere)
    prompt = run.evaluator.samples[0].prompt
    kl = run.run([Condition("push", 1.0)], edits, [0], goal)["kl"][0]
    ids, new = tokenizer(prompt)["input_ids"], goal.text_NT[0][goal.mask_NT[0]].tolist()
    with torch.inference_mode(), edited(tiny_model, Hook(lambda h: h + 2, LAYER), 1 if everywhere else len(ids) - 1):
        q_TV = tiny_model(torch.tensor([ids + new])).logits[0, len(ids) - 1 : -1].log_softmax(-1)
    p_TV = goal.logprob_NTV[0, : len(new)]
    assert kl == pytest.approx(float((p_TV.exp() * (p_TV - q_TV)).sum(-1).mean()), rel=1e-3)


@pytest.mark.parametrize("batch_size", [3, 100])
def test_the_stream_on_a_goal_equals_a_direct_forward(tiny_model, tokenizer, goal, batch_size):
    """Positions that predict the goal's tokens: from the prompt's last token to before the text's last."""
    run = runner(tiny_model, tokenizer, batch_size)
    expected = []
    for i in CHOSEN:
        ids, text = tokenizer(run.evaluator.samples[i].prompt)["input_ids"], goal.text_NT[i][goal.mask_NT[i]].tolist()
        expected.append(residual_stream(tiny_model, torch.tensor([ids + text]), LAYER)[0, len(ids) - 1 : -1])
    torch.testing.assert_close(run.stream_on_goal(CHOSEN, goal), torch.cat(expected), rtol=1e-4, atol=1e-5)


def test_distances_are_those_of_a_run(tiny_model, tuned_model, tokenizer, goal, edits):
    """Nothing is decoded, and the KL is that of rows that are."""
    for batch_size in (5, 100):
        run = runner(tiny_model, tokenizer, batch_size)
        rows = run.run(CONDITIONS, edits, CHOSEN, goal)
        found_CI = run.distances(len(CONDITIONS), edits, CHOSEN, goal)
        assert found_CI.shape == (3, len(CHOSEN))
        np.testing.assert_allclose(found_CI.ravel(), rows["kl"], rtol=1e-4, atol=1e-6)
