"""Shipped tasks by name over documents in their native formats: prompts, choices, halves, verdicts, refusals."""

import hashlib
import json
import math
from types import SimpleNamespace

import pytest
from benchmark_models import DOCUMENTS, GENERATED, TASKS, document, made, model_of, tokenizer_of, written
from pydantic import ValidationError

from rlgen.behaviour.settings import BenchmarkEvaluation
from rlgen.files import ArtifactError
from rlgen.sources.prompts import _documents, benchmark_samples, documents_text
from rlgen.tasks.samples import read_samples, write_rows
from rlgen.tasks.settings import Benchmark
from rlgen.tasks.shipped import BenchmarkTask, load_task, shipped_task

# Document 3 (a candle) of every task as lm-eval's own templates show it, written down by hand: prompt, choices, answer.
BY_HAND = {
    "hendrycks_math500": ("Problem: What is $3+3$ in candles?\nAnswer:", (), "6"),
    "aime24": ("Question: Find candle 3.\nAnswer:", (), "103"),
    "aime25": ("Question: Let $n=3$ be a candle. Find $n^2$.\nAnswer:", (), "9"),
    "openbookqa": (
        "Which of these is most like a candle",
        (" a magnet", " a leaf", " a engine", " a cloud"),
        " a cloud",
    ),
    "commonsense_qa": (
        "Question: Where would you put a candle?\nA. magnet\nB. leaf\nC. engine\nD. cloud\nE. box\nAnswer:",
        (" A", " B", " C", " D", " E"),
        " D",
    ),
    "headqa_en": (
        "Question: The candle is excited by:\nAnswer:",
        (" magnet flow.", " leaf flow.", " engine flow.", " cloud flow."),
        " cloud flow.",
    ),
    "sciq": (
        "Every candle can work.\nQuestion: What does a candle do?\nAnswer:",
        (" leaf", " engine", " magnet", " work"),
        " work",
    ),
    "arc_challenge": (
        "Question: Which would a candle need?\nAnswer:",
        (" a magnet", " a leaf", " a engine", " a cloud"),
        " a magnet",
    ),
    "logiqa": (
        "Passage: All candles sing.\nQuestion: Which is true?\nChoices:\nA. Some magnet sings.\nB. Some leaf sings.\n"
        "C. Some engine sings.\nD. Some cloud sings.\nAnswer:",
        (" Some magnet sings.", " Some leaf sings.", " Some engine sings.", " Some cloud sings."),
        " Some cloud sings.",
    ),
    "piqa": ("Question: clean a candle\nAnswer:", (" use soap", " use a magnet"), " use a magnet"),
}


@pytest.mark.parametrize("task", TASKS)
def test_prompts_choices_and_answers_by_hand(task, tmp_path):
    found, local = made(task, tmp_path, per_half=DOCUMENTS)
    rows = [(s.prompt, s.choices, s.answer) for s in found.samples]
    assert len(rows) == DOCUMENTS and BY_HAND[task] in rows
    assert local.by_choice == (task not in GENERATED) and local.metric == ("acc" if local.by_choice else "exact_match")


@pytest.mark.parametrize("task", TASKS)
def test_prompts_and_continuations_are_lm_evals_own(task, tmp_path):
    """Against the requests that lm-eval itself builds over the published documents."""
    found, _ = made(task, tmp_path, per_half=DOCUMENTS)
    published = shipped_task(task, written(task, tmp_path))
    published.build_all_requests()
    theirs: dict[str, list[str]] = {}
    for request in published.instances:
        theirs.setdefault(request.args[0], []).append(request.args[1])
    ours = {s.prompt: list(s.choices) for s in found.samples}
    assert ours.keys() == theirs.keys()
    if task not in GENERATED:
        assert ours == theirs


def test_halves_by_the_hash_of_the_prompt(tmp_path):
    every, _ = made("sciq", tmp_path, per_half=DOCUMENTS)
    few, _ = made("sciq", tmp_path, per_half=2)
    for sample in every.samples:
        name = hashlib.sha256(sample.prompt.encode()).hexdigest()[:12]
        assert (sample.sample, sample.half) == (name, "test" if int(name[-1], 16) % 2 else "discovery")
        assert (sample.task, sample.role) == ("sciq", "selection")
    for half in ("discovery", "test"):
        names = [s.sample for s in every.samples if s.half == half]
        assert names == sorted(names) and [s.sample for s in few.samples if s.half == half] == names[:2]
    assert few.counts == {"documents": 10, "repeated": 0, "in_training": 0, "discovery": 2, "test": 2}
    texts = [doc["question"] for doc in few.documents]
    assert all(text in s.prompt for text, s in zip(texts, few.samples, strict=True))


def test_repeated_questions_and_those_of_the_training_set_are_left_out(tmp_path):
    path = tmp_path / "published.jsonl"
    docs = [document("hendrycks_math500", i) for i in (*range(10), 4)]
    docs[-1]["solution"] = "Another way: $\\boxed{8}$."
    path.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    task = shipped_task("hendrycks_math500", Benchmark(files={"test": str(path)}))
    training = ["Solve:  what is $2+2$ in\nStones? Put the answer in a box.", "What is $5+5$?", docs[7]["problem"]]
    found = benchmark_samples(task, "in_domain", 100, training_prompts=training)
    problems = [doc["problem"] for doc in found.documents]
    assert sorted(problems) == sorted(doc["problem"] for i, doc in enumerate(docs) if i not in (2, 7, 10))
    assert found.counts["repeated"] == 1 and found.counts["in_training"] == 2 and found.counts["documents"] == 11


def test_an_empty_half_is_refused(tmp_path):
    path = tmp_path / "published.jsonl"
    path.write_text(json.dumps(document("piqa", 0)) + "\n")
    task = shipped_task("piqa", Benchmark(files={"validation": str(path)}))
    with pytest.raises(ArtifactError, match=r"benchmark piqa: no prompt falls into the (discovery|test) half"):
        benchmark_samples(task, "unseen", 5)


def test_documents_are_kept_as_published(tmp_path):
    """process_docs of MATH-500 drops the level and reads the answer off the solution: once, in the later job."""
    found, local = made("hendrycks_math500", tmp_path)
    docs = [json.loads(line) for line in (tmp_path / "hendrycks_math500.docs.jsonl").read_text().splitlines()]
    assert docs == found.documents and all(doc in [document("hendrycks_math500", i) for i in range(10)] for doc in docs)
    assert [doc["answer"] for doc in local.docs] == [s.answer for s in found.samples]


def test_documents_that_process_docs_leaves_out_or_adds_stay_paired():
    def keep_even(dataset):
        return [{"n": doc["n"] * 10} for doc in dataset if doc["n"] % 2 == 0]

    class Rows(list):
        def select(self, places):
            return [self[place] for place in places]

    published = Rows({"n": n} for n in range(5))
    task = SimpleNamespace(eval_docs=keep_even(published), config=SimpleNamespace(process_docs=keep_even))
    assert list(_documents(task, published)) == [({"n": n}, {"n": 10 * n}) for n in (0, 2, 4)]


def test_texts_with_separators_and_missing_numbers_survive(tmp_path):
    """Line separators that JSON does not escape, and a number that is none."""
    path = tmp_path / "published.jsonl"
    docs = [document("piqa", i) | {"goal": f"fold {i}\u2028twice\x85", "weight": math.nan} for i in range(8)]
    path.write_text(documents_text(docs))
    benchmark = Benchmark(files={"validation": str(path)})
    found = benchmark_samples(shipped_task("piqa", benchmark), "unseen", 4)
    (tmp_path / "docs.jsonl").write_text(documents_text(found.documents))
    local = BenchmarkTask(load_task("piqa", tmp_path / "docs.jsonl", benchmark), found.samples, benchmark, False)
    assert all("\u2028twice\x85" in doc["goal"] for doc in local.docs)
    local.task.build_all_requests()
    write_rows(tmp_path / "samples.jsonl", found.samples)
    assert read_samples([tmp_path / "samples.jsonl"]) == found.samples


def test_pictures_are_left_empty():
    assert documents_text([{"a": object(), "b": "ü"}]) == '{"a": null, "b": "ü"}\n'


RIGHT = {
    "hendrycks_math500": lambda s: [f"So ${s.answer}$", f"${s.answer}.0$"],
    "aime24": lambda s: [f"Thus \\boxed{{{s.answer}}}.", "I give up \\boxed{7} then \\boxed{7}"],
    "aime25": lambda s: [s.answer, f"{s.answer}1"],
}


@pytest.mark.parametrize("task", TASKS)
def test_verdicts_of_right_and_wrong_responses(task, tmp_path):
    found, local = made(task, tmp_path)
    rows, responses, expected = [], [], []
    for row, sample in enumerate(found.samples):
        place = sample.choices.index(sample.answer) if sample.choices else 0
        n = len(sample.choices)
        scores = [[(-9.0 + 8 * (k == at % n), False) for k in range(n)] for at in (place, place + 1)] if n else []
        right, wrong = scores or [[text] for text in RIGHT[task](sample)]
        rows += [row, row]
        responses += [right, wrong]
        expected += [True, False]
    assert local.verdicts(rows, responses) == expected
    assert local.verdicts(rows[::-1], responses[::-1]) == expected[::-1]


def test_the_metric_may_be_chosen_and_says_which_choice_is_preferred(tmp_path):
    _, by_sum = made("piqa", tmp_path)
    benchmark = Benchmark(files=written("piqa", tmp_path).files, metric="acc_norm")
    task = load_task("piqa", tmp_path / "piqa.docs.jsonl", benchmark)
    by_length = BenchmarkTask(task, by_sum.samples, benchmark, False)
    row = next(i for i, s in enumerate(by_sum.samples) if s.answer == s.choices[1])
    values = [-4.0, -5.0]  # "use soap" has 8 characters, the other choice 10 or more: -0.5 against at most -0.5
    assert by_sum.preferred(row, values) == 0
    assert by_length.preferred(row, [-4.0, -4.5]) == 1
    for local, values in ((by_sum, [-4.0, -5.0]), (by_length, [-4.0, -4.5]), (by_length, [-1.0, -9.0])):
        preferred = local.preferred(row, values)
        assert local.verdicts([row], [[(v, False) for v in values]]) == [preferred == 1]


def test_math_verify_reads_the_box_that_the_shipped_verdict_does_not(tmp_path):
    found, shipped = made("hendrycks_math500", tmp_path)
    benchmark, texts = Benchmark(revision="r", metric="math_verify"), []
    ours = BenchmarkTask(shipped.task, found.samples, benchmark, False)
    for sample in found.samples:
        texts += [[f"As $x=3$ and $y=4$, it is \\boxed{{{sample.answer}}}."], ["It is \\boxed{77}, not $77$."]]
    rows = [row for row in range(len(found.samples)) for _ in range(2)]
    assert ours.verdicts(rows, texts) == [True, False] * len(found.samples)
    assert shipped.verdicts(rows, texts) == [False, False] * len(found.samples)
    with pytest.raises(ArtifactError, match="metric 'math_verify', expected one of acc, acc_norm"):
        BenchmarkTask(made("sciq", tmp_path)[1].task, made("sciq", tmp_path)[0].samples, benchmark, False)


def test_any_generated_task_and_a_filter_by_name(tmp_path):
    """gsm8k: two filters, five examples of a split that is not there, answers after '####'."""
    path = tmp_path / "gsm8k.jsonl"
    rows = [{"question": f"{i} apples and {i} more?", "answer": f"{i}+{i}\n#### {2 * i}"} for i in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for metric, texts in (
        ("exact_match,strict-match", {"so #### 6": True, "it is 6": False}),
        ("exact_match,flexible-extract", {"it is 6": True, "it is 7": False}),
    ):
        benchmark = Benchmark(files={"test": str(path)}, fewshot=0, metric=metric)
        found = benchmark_samples(shipped_task("gsm8k", benchmark), "in_domain", 8)
        docs = tmp_path / "docs.jsonl"
        docs.write_text(documents_text(found.documents))
        local = BenchmarkTask(load_task("gsm8k", docs, benchmark), found.samples, benchmark, False)
        row = next(i for i, s in enumerate(found.samples) if "3 apples" in s.prompt)
        assert local.verdicts([row] * len(texts), [[text] for text in texts]) == list(texts.values())


def test_examples_are_shown_and_kept_with_the_samples(tmp_path):
    rows = [json.dumps(document("openbookqa", i)) + "\n" for i in range(10)]
    (tmp_path / "train.jsonl").write_text("".join(rows[:4]))
    (tmp_path / "test.jsonl").write_text("".join(rows[4:]))
    files = {split: str(tmp_path / f"{split}.jsonl") for split in ("train", "test")}
    benchmark = Benchmark(files=files, fewshot=2)
    task = shipped_task("openbookqa", benchmark)
    found = benchmark_samples(task, "selection", 9)
    examples = {f"Which of these is most like a {t} a" for t in ("cat", "river", "stone", "candle")}
    for sample in found.samples:
        *shown, question = sample.prompt.split("\n\n")
        assert len(shown) == 2 and all(any(text.startswith(e) for e in examples) for text in shown)
        assert question.startswith("Which of these is most like a ")
    task.set_fewshot_seed(1234)
    task.set_config("num_fewshot", 2)
    task.build_all_requests()
    assert {s.prompt for s in found.samples} == {request.args[0] for request in task.instances}
    docs = tmp_path / "docs.jsonl"
    docs.write_text(documents_text(found.documents))
    local = BenchmarkTask(load_task("openbookqa", docs, benchmark), found.samples, benchmark, False)
    local.task.build_all_requests()
    assert list(dict.fromkeys(r.args[0] for r in local.task.instances)) == [s.prompt for s in found.samples]


@pytest.mark.parametrize("architecture", ["qwen3", "llama"])
def test_chat_prompts_are_those_of_lm_evals_backend(architecture, tmp_path):
    from lm_eval.models.huggingface import HFLM

    lm = HFLM(pretrained=model_of(architecture), tokenizer=tokenizer_of(architecture))
    for name in ("aime24", "openbookqa"):
        found, _ = made(name, tmp_path, DOCUMENTS, tokenizer_of(architecture))
        task = shipped_task(name, written(name, tmp_path))
        task.build_all_requests(
            apply_chat_template=True, fewshot_as_multiturn=True, chat_template=lm.apply_chat_template
        )
        theirs = {(request.args[0], request.idx): request.args[1] for request in task.instances}
        assert {s.prompt for s in found.samples} == {prompt for prompt, _ in theirs}
        assert all("<|im_start|>user\n" in s.prompt and s.prompt.endswith("assistant\n") for s in found.samples)
        if name == "openbookqa":
            assert all(c == theirs[s.prompt, k] for s in found.samples for k, c in enumerate(s.choices))


# Refusals


def test_a_benchmark_has_one_source():
    with pytest.raises(ValidationError, match=r"expected one of revision \(the hub\), files"):
        Benchmark(revision="abc", files={"test": "x.jsonl"})


def test_chat_may_be_set_for_all_or_one():
    everywhere, silent = BenchmarkEvaluation(chat=True), BenchmarkEvaluation()
    assert everywhere.renders_chat(Benchmark(revision="r")) and not silent.renders_chat(Benchmark(revision="r"))
    assert not everywhere.renders_chat(Benchmark(revision="r", chat=False))


@pytest.mark.parametrize(
    ("name", "benchmark", "message"),
    [
        ("no_such_task", Benchmark(revision="r"), "ships no task of that name"),
        ("lambada_openai", Benchmark(revision="r"), "is of output_type loglikelihood, expected one of multiple_choice"),
        ("squadv2", Benchmark(revision="r"), "is a Python class"),
        ("openbookqa", Benchmark(files={"train": "x"}), "files name the splits train, expected 'test' among them"),
        ("openbookqa", Benchmark(files={"test": "nowhere.jsonl"}), "nowhere.jsonl: not a file of documents"),
        ("sciq", Benchmark(), "allenai/sciq: no revision"),
        ("sciq", Benchmark(revision="main"), "allenai/sciq: revision 'main' may move"),
        ("sciq", Benchmark(revision="0" * 40), "allenai/sciq"),  # no network here
    ],
)
def test_what_cannot_be_loaded_is_refused(name, benchmark, message):
    with pytest.raises(ArtifactError, match=message):
        shipped_task(name, benchmark)


def test_prompts_that_hold_the_choices_are_refused(tmp_path):
    path = tmp_path / "winogrande.jsonl"
    row = {"sentence": "The cat sat on the mat as _ was soft.", "option1": "cat", "option2": "mat", "answer": "2"}
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(ArtifactError, match="expected one prompt per document"):
        shipped_task("winogrande", Benchmark(files={"validation": str(path)}))


def test_documents_of_another_task_are_refused(tmp_path):
    made("openbookqa", tmp_path)
    with pytest.raises(ArtifactError, match="holds no documents of the task sciq"):
        load_task("sciq", tmp_path / "openbookqa.docs.jsonl", Benchmark())


def test_samples_of_other_documents_are_refused(tmp_path):
    found, local = made("openbookqa", tmp_path)
    benchmark = written("openbookqa", tmp_path)
    with pytest.raises(ArtifactError, match=f"sample {found.samples[-1].sample}: is not of its document"):
        BenchmarkTask(local.task, [*found.samples[1:], found.samples[0]][::-1], benchmark, False)
    with pytest.raises(ArtifactError, match="do not pair up"):
        BenchmarkTask(local.task, found.samples[1:], benchmark, False)


def test_an_unknown_metric_is_refused(tmp_path):
    found, local = made("openbookqa", tmp_path)
    benchmark = Benchmark(revision="r", metric="accuracy")
    with pytest.raises(
        ArtifactError, match="metric 'accuracy', expected one of acc, acc_norm, with a filter among none"
    ):
        BenchmarkTask(local.task, found.samples, benchmark, False)


def test_a_metric_that_is_no_verdict_is_refused(tmp_path):
    _, local = made("openbookqa", tmp_path)
    with pytest.raises(ArtifactError, match=r"metric acc gave 0.5, expected 0 or 1"):
        local.is_right({"acc": 0.5})


def test_an_empty_answer_is_refused(tmp_path):
    path = tmp_path / "published.jsonl"
    path.write_text("".join(json.dumps(document("aime25", i) | {"answer": " "}) + "\n" for i in range(4)))
    with pytest.raises(ArtifactError, match="benchmark aime25: a document without an answer"):
        benchmark_samples(shipped_task("aime25", Benchmark(files={"test": str(path)})), "in_domain", 4)
