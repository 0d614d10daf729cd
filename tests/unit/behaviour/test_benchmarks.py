"""Edited models on shipped tasks against naive forward passes: one sequence at a time, no cache, a plain hook."""

import copy
import math

import pandas as pd
import pytest
import torch
from benchmark_models import made, model_of, tokenizer_of
from crosscoders import random_crosscoder

from rlgen.activations.completion_harvest import Reading, harvest_completions
from rlgen.behaviour.benchmarks import BenchmarkEvaluator
from rlgen.behaviour.continuations import encode_answer, encode_pair, encode_sample, prompts_of
from rlgen.behaviour.reading import answer_logprobs
from rlgen.files import ArtifactError
from rlgen.interventions.benchmarks import BenchmarkRunner
from rlgen.interventions.edits import FeatureEdits, VectorEdits, directions
from rlgen.interventions.runner import Condition
from rlgen.models.cache import RowCache
from rlgen.models.hooks import Hook, edited
from rlgen.models.long_texts import Ends, GrowingCache, generate_texts

NAMES = ["aime24", "arc_challenge", "hendrycks_math500", "piqa"]
LAYER, NEW, TOKENS = 1, 10, 6
DOSES = [0.0, 0.5, 2.0]
CONDITIONS = [Condition(f"set{i}", dose, {"delta_norm": 2 * dose}) for i, dose in enumerate(DOSES)]


@pytest.fixture(scope="module", params=["qwen3", "llama"])
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    return [made(name, tmp_path_factory.mktemp(name), 2)[1] for name in NAMES]


def evaluator_of(tasks, architecture, batch_size=7):
    return BenchmarkEvaluator(tasks, tokenizer_of(architecture), batch_size, NEW, TOKENS)


@pytest.fixture(scope="module")
def evaluator(tasks, architecture):
    return evaluator_of(tasks, architecture)


@pytest.fixture(scope="module")
def edits():
    """One set of latents at three doses, the first of which changes nothing."""
    crosscoder = random_crosscoder(2, S=20, d=32)
    mask_CS = torch.ones(len(DOSES), 20, dtype=torch.bool)
    return FeatureEdits(crosscoder, 0, "swap", directions(crosscoder, "exchange", True), mask_CS, torch.tensor(DOSES))


@pytest.fixture(scope="module")
def goal(evaluator, architecture):
    return BenchmarkRunner(model_of(architecture, 1), evaluator, LAYER, False).goal()


# One sequence at a time


def hook_of(edits, condition, everywhere):
    return None if edits is None else Hook(edits.on("cpu").take(torch.tensor([condition])), LAYER, everywhere)


@torch.inference_mode()
def naive_logits(model, ids, n_prompt, hook):
    """Logits (T, V) of one sequence; the edit acts from the prompt's last token on, or everywhere."""
    with edited(model, hook, min(1, n_prompt - 1) if hook is None or hook.everywhere else n_prompt - 1):
        return model(torch.tensor([ids])).logits[0].double()


def naive_sum(model, prompt, text, hook, last=None):
    """Log-probability of a text, or of its last tokens."""
    logprob_TV = naive_logits(model, prompt + text, len(prompt), hook).log_softmax(-1)
    places = range(len(prompt) + len(text) - (last or len(text)), len(prompt) + len(text))
    return sum(float(logprob_TV[t - 1, (prompt + text)[t]]) for t in places)


def naive_text(model, tokenizer, sample, hook, task):
    ids, new = tokenizer.encode(sample.prompt), []
    ends = Ends.of(model, tokenizer, task.stops)
    while len(new) < NEW and not (new and new[-1] in ends.ids):
        new.append(int(naive_logits(model, ids + new, len(ids), hook)[-1].argmax()))
    return ends.cut(tokenizer.decode(new, skip_special_tokens=True))


def naive_scores(model, tokenizer, task, sample, hook):
    """(verdict, log-probability of the right answer) of one sample under one edit."""
    row = task.samples.index(sample)
    if sample.choices:
        pairs = [encode_pair(tokenizer, sample.prompt, choice) for choice in sample.choices]
        sums = torch.tensor([naive_sum(model, *pair, hook) for pair in pairs])
        right = sample.choices.index(sample.answer)
        return int(sums.argmax()) == right, float(sums.log_softmax(0)[right])
    text = naive_text(model, tokenizer, sample, hook, task)
    prompt, asked, count = encode_answer(tokenizer, sample.prompt, text, sample.answer, task.ask)
    return task.verdicts([row], [[text]])[0], naive_sum(model, prompt, asked, hook, count)


def naive_kl(goal_model, model, prompt, text, hook):
    p_TV = naive_logits(goal_model, prompt + text, len(prompt), None)[len(prompt) - 1 : -1].log_softmax(-1)
    q_TV = naive_logits(model, prompt + text, len(prompt), hook)[len(prompt) - 1 : -1].log_softmax(-1)
    return float((p_TV.exp() * (p_TV - q_TV)).sum(-1).mean())


@pytest.mark.parametrize("everywhere", [False, True])
def test_edited_scores_equal_naive_passes(everywhere, evaluator, architecture, tasks, edits, goal):
    model, tokenizer = model_of(architecture), tokenizer_of(architecture)
    chosen = list(range(0, len(evaluator.samples), 2))
    table = BenchmarkRunner(model, evaluator, LAYER, everywhere).run(CONDITIONS, edits, chosen, goal)
    assert len(table) == len(DOSES) * len(chosen)
    rows = iter(table.itertuples())
    for c in range(len(DOSES)):
        hook = hook_of(edits, c, everywhere)
        for i in chosen:
            row, sample = next(rows), evaluator.samples[i]
            task = next(t for t in tasks if t.name == sample.task)
            verdict, logprob = naive_scores(model, tokenizer, task, sample, hook)
            assert (row.dose, row.sample, row.task, row.half) == (DOSES[c], sample.sample, sample.task, sample.half)
            assert row.delta_norm == 2 * DOSES[c] and row.correct == row.format_blind == verdict
            assert row.answer_logprob == pytest.approx(logprob, abs=1e-3)
            prompt = encode_sample(tokenizer, sample, sample.choices[0] if sample.choices else "x")[0]
            kl = naive_kl(model_of(architecture, 1), model, prompt, goal.texts[i], hook)
            assert row.kl == pytest.approx(kl, rel=1e-3, abs=1e-3)
    by_dose = table.groupby("dose")["answer_logprob"].mean()
    assert by_dose.nunique() == 3  # the edits changed something


def test_edited_completions_equal_naive_ones(evaluator, architecture, tasks, edits):
    model, tokenizer = model_of(architecture), tokenizer_of(architecture)
    texts = [i for i, s in enumerate(evaluator.samples) if not s.choices]
    rows_R = torch.tensor(texts * len(DOSES))
    condition_R = torch.arange(len(DOSES)).repeat_interleave(len(texts))
    scores = evaluator.score(model, rows_R, Hook(edits.on("cpu"), LAYER, which_B=condition_R))
    expected = [
        naive_text(model, tokenizer, evaluator.samples[i], hook_of(edits, c, False), task)
        for c in range(len(DOSES))
        for i in texts
        for task in tasks
        if task.name == evaluator.samples[i].task
    ]
    assert scores.completions == expected
    assert expected[: len(texts)] != expected[-len(texts) :]


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_scores_do_not_depend_on_the_batch(batch_size, evaluator, architecture, tasks, edits, goal):
    model, chosen = model_of(architecture), list(range(len(evaluator.samples)))
    other = evaluator_of(tasks, architecture, batch_size)
    tables = [BenchmarkRunner(model, e, LAYER, False).run(CONDITIONS, edits, chosen, goal) for e in (evaluator, other)]
    pd.testing.assert_frame_equal(*tables, check_exact=False, atol=1e-4, rtol=1e-4)


def test_half_precision_models_are_edited_in_float32(architecture, tasks, edits):
    """Choices only: in bfloat16 a solution of a random model soon goes another way."""
    models = [copy.deepcopy(model_of(architecture)).to(dtype) for dtype in (torch.float32, torch.bfloat16)]
    evaluator = evaluator_of([task for task in tasks if task.by_choice], architecture)
    chosen = range(len(evaluator.samples))
    tables = []
    for model in models:
        runner = BenchmarkRunner(model, evaluator, LAYER, False)
        goal = runner.goal()
        assert runner.stream_on_goal(list(chosen), goal).dtype == torch.float32
        tables.append(runner.run(CONDITIONS, edits, chosen, goal))
    exact, half = (table["answer_logprob"].to_numpy() for table in tables)
    assert abs(exact - half).max() > 0 and abs(exact - half).mean() < 0.15 * exact.std()
    assert tables[1]["kl"].notna().all()


def test_constant_vectors_and_no_edit_at_all(evaluator, architecture):
    model, chosen = model_of(architecture), list(range(len(evaluator.samples)))
    runner = BenchmarkRunner(model, evaluator, LAYER, False)
    vectors = VectorEdits(torch.stack([torch.zeros(32), torch.full((32,), 3.0)]))
    table = runner.run([Condition("none", 0.0), Condition("push", 1.0)], vectors, chosen)
    none = runner.run([Condition("none", 0.0)], None, chosen)
    same = table[table["set"] == "none"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, none, check_exact=False, atol=1e-5, rtol=0)
    assert (table["answer_logprob"][len(chosen) :].to_numpy() != none["answer_logprob"].to_numpy()).all()
    assert none["kl"].isna().all()


@torch.inference_mode()
def test_a_goal_is_the_models_own_text(evaluator, architecture, tasks, goal):
    other, tokenizer = model_of(architecture, 1), tokenizer_of(architecture)
    for i, sample in enumerate(evaluator.samples):
        task = next(t for t in tasks if t.name == sample.task)
        if sample.choices:
            pairs = [encode_pair(tokenizer, sample.prompt, choice) for choice in sample.choices]
            expected = max(pairs, key=lambda pair: naive_sum(other, *pair, None))
            prompt, text = expected
        else:
            prompt, text = encode_sample(tokenizer, sample, naive_text(other, tokenizer, sample, None, task))
        assert goal.texts[i] == (text or [tokenizer.eos_token_id])[:TOKENS]
        logits_TV = naive_logits(other, prompt + goal.texts[i], len(prompt), None)[len(prompt) - 1 : -1]
        torch.testing.assert_close(goal.head(goal.hidden[i]).double(), logits_TV, rtol=1e-4, atol=1e-3)
    assert max(map(len, goal.texts)) == TOKENS  # some were longer


def test_the_distance_from_oneself_is_nothing(evaluator, architecture):
    runner = BenchmarkRunner(model_of(architecture), evaluator, LAYER, False)
    table = runner.run([Condition("none", 0.0)], None, range(len(evaluator.samples)), runner.goal())
    assert table["kl"].abs().max() < 1e-5


@torch.inference_mode()
def test_the_stream_on_a_goals_text(evaluator, architecture, goal):
    """Rows in the order of the samples asked for, from the prompt's last token to the text's last but one."""
    model, tokenizer, chosen = model_of(architecture), tokenizer_of(architecture), [6, 0, 5]
    expected = []
    for i in chosen:
        sample = evaluator.samples[i]
        prompt = encode_sample(tokenizer, sample, sample.choices[0] if sample.choices else "x")[0]
        ids = torch.tensor([prompt + goal.texts[i]])
        states = model(ids, output_hidden_states=True).hidden_states[LAYER + 1][0]
        expected.append(states[len(prompt) - 1 : -1])
    runner = BenchmarkRunner(model, evaluator, LAYER, False)
    torch.testing.assert_close(runner.stream_on_goal(chosen, goal), torch.cat(expected), rtol=1e-4, atol=1e-4)


def test_prompts_beyond_the_context_are_refused(tasks, architecture):
    long = BenchmarkEvaluator(tasks, tokenizer_of(architecture), 4, 600, TOKENS)
    with pytest.raises(ArtifactError, match=r"benchmark aime24: the longest prompt .* context holds 512"):
        BenchmarkRunner(model_of(architecture), long, LAYER, False)


# Pairs of prompt and text


def test_pairs_are_tokenized_as_lm_evals_backend_does(tasks, architecture):
    from lm_eval.models.huggingface import HFLM

    tokenizer = tokenizer_of(architecture)
    lm = HFLM(pretrained=model_of(architecture), tokenizer=tokenizer)
    bos = tokenizer.bos_token or tokenizer.eos_token
    pairs = [(s.prompt, c) for task in tasks for s in task.samples for c in s.choices]
    pairs += [("Question: ", "x"), ("a\n\n", "b c"), (f"{bos}Question: a\n", "yes"), ("Answer", "s"), ("1", "23")]
    for prompt, text in pairs:
        assert encode_pair(tokenizer, prompt, text) == lm._encode_pair(prompt, text)
    stem, moved = encode_pair(tokenizer, f"{bos}Question: ", "x")
    assert stem.count(tokenizer.convert_tokens_to_ids(bos)) == 1 and tokenizer.decode(moved) == " x"


def test_a_choice_without_tokens_is_refused(architecture):
    with pytest.raises(ArtifactError, match="expected a token or more of each"):
        encode_pair(tokenizer_of(architecture), "Answer:", "")


@pytest.mark.parametrize(
    ("completion", "reasoning"),
    [
        ("so 3. \\boxed{4} no \\boxed{5} then", "so 3. \\boxed{4} no \\boxed{"),
        ("I do not know", "I do not know\n\\boxed{"),
        ("", "\n\\boxed{"),
    ],
)
def test_the_answer_stands_after_the_last_box(completion, reasoning, architecture):
    tokenizer = tokenizer_of(architecture)
    prompt, text, count = encode_answer(tokenizer, "Question: 1+1?\nAnswer:", completion, "12", "\\boxed{")
    assert tokenizer.decode(text[:-count]) == reasoning and tokenizer.decode(text[-count:]) == "12"
    assert prompt == tokenizer.encode("Question: 1+1?\nAnswer:")


def test_answers_of_many_lengths_in_passes_of_few_tokens(architecture, monkeypatch):
    monkeypatch.setattr("rlgen.behaviour.reading.TOKENS_PER_PASS", 40)
    model, tokenizer = model_of(architecture), tokenizer_of(architecture)
    asked = [encode_answer(tokenizer, "Question: cat", "river " * n, str(10 * n), "So ") for n in (0, 9, 3, 1, 7)]
    prompts = prompts_of([asked[0][0]]).with_prefix(model)
    found = answer_logprobs(model, prompts, torch.zeros(len(asked), dtype=torch.long), [a[1:] for a in asked])
    expected = [naive_sum(model, prompt, text, None, count) for prompt, text, count in asked]
    assert found.tolist() == pytest.approx(expected, abs=1e-3)


# Long texts


@pytest.fixture(scope="module")
def written(architecture):
    """Prompts and 40 free tokens after each, as ids."""
    model, tokenizer = model_of(architecture), tokenizer_of(architecture)
    prompts = [tokenizer.encode(f"Question: {thing}") for thing in ("cat", "a stone of old", "violin 3")]
    texts = []
    for ids in prompts:
        new = []
        while len(new) < 40:
            new.append(int(naive_logits(model, ids + new, len(ids), None)[-1].argmax()))
        texts.append(new)
    return prompts, texts


def test_texts_end_at_any_end_of_sequence_and_at_stops(written, architecture):
    """Ends taken from what the model writes: a token early in the first text, words late in the second."""
    model, tokenizer = model_of(architecture), tokenizer_of(architecture)
    prompts, texts = written
    end_id, stop = texts[0][4], tokenizer.decode(texts[1][20:22])
    ends = Ends((end_id, tokenizer.eos_token_id), (stop,))
    found = generate_texts(model, tokenizer, prompts_of(prompts).with_prefix(model), 40, ends)
    for text, new in zip(found, texts, strict=True):
        places = [n for n, token in enumerate(new) if token in ends.ids]
        whole = tokenizer.decode(new[: places[0] + 1] if places else new, skip_special_tokens=True)
        assert text == whole.split(stop)[0]
    assert len(set(map(len, found))) > 1 and stop not in "".join(found)


def test_ends_of_a_model_are_all_that_it_knows(architecture):
    model, tokenizer = model_of(architecture), tokenizer_of(architecture)
    im_end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    ends = Ends.of(model, tokenizer, ["Question:", "<|im_end|>", ""])
    assert set(ends.ids) == {tokenizer.eos_token_id, im_end} and ends.stops == ("Question:",)
    assert ends.cut("a Question: b Question: c") == "a "


def test_a_growing_cache_holds_what_a_wide_one_holds():
    generator = torch.Generator().manual_seed(0)
    small, wide = GrowingCache(3, 40), RowCache(40)
    for column in range(40):
        new = torch.randn(2, 2, 1, 4, generator=generator)
        small.make_room(column + 2)
        for cache in (small, wide):
            cache.stand(slice(column, column + 1))
            keys, values = cache.update(new, -new, 0)
        assert torch.equal(keys, wide.layers[0][0][:, :, : column + 1]) and torch.equal(values, -keys)
        held = small.layers[0][0].shape[2]
        assert held == small.width <= min(40, max(3, math.ceil(1.5 * (column + 2))))
        assert torch.equal(small.layers[0][0][:, :, : column + 1], keys)


# Completions of the tuned model


@torch.inference_mode()
def test_completions_are_read_joined_to_their_prompts_and_capped(evaluator, architecture, tasks):
    models, tokenizer = [model_of(architecture, seed) for seed in (0, 1)], tokenizer_of(architecture)
    tables = [pd.DataFrame(evaluator.table(evaluator.score(model))) for model in models]
    reading = Reading(encode_sample, completion_tokens=4, sequences=3)
    found = harvest_completions(models, tokenizer, evaluator.samples, tables, LAYER, reading)
    discovery = [s for s in evaluator.samples if s.half == "discovery"]
    text_of = tables[1].set_index("sample")["completion"]
    expected, positions = ([], []), []
    for sample in discovery:
        prompt, text = encode_sample(tokenizer, sample, text_of[sample.sample])
        ids = torch.tensor([prompt + text[:4]])
        positions += range(len(text[:4]) + 1)
        for part, model in zip(expected, models, strict=True):
            part.append(model(ids, output_hidden_states=True).hidden_states[LAYER + 1][0, len(prompt) - 1 :])
    assert found.position_N.tolist() == positions and max(positions) == 4
    for found_Nd, part in zip((found.reference_Nd, found.tuned_Nd), expected, strict=True):
        torch.testing.assert_close(found_Nd, torch.cat(part), rtol=1e-4, atol=1e-4)
