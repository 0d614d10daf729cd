"""Plain models on shipped tasks: lm-eval's evaluator against the hooked evaluator and against naive forward passes."""

import ast
import inspect
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch
from benchmark_models import ARCHITECTURES, CHOSEN, GENERATED, TASKS, made, model_of, tokenizer_of, written
from script_files import script_file

from rlgen.behaviour.benchmarks import BenchmarkEvaluator
from rlgen.behaviour.lm_eval import EvaluateBenchmarks, evaluate_checkpoints, hf_backend, read_tasks, task_rows
from rlgen.behaviour.settings import BenchmarkEvaluation
from rlgen.compute import start
from rlgen.files import ArtifactError
from rlgen.interventions.agreement import agreement, warn_disagreement
from rlgen.models.checkpoints import save_checkpoint
from rlgen.tasks.samples import read_samples, write_rows
from rlgen.tasks.settings import Benchmark
from rlgen.tasks.shipped import BenchmarkTask

COLUMNS = ["task", "role", "half", "sample", "correct", "answer_logprob", "completion", "length"]
BATCH, NEW = 5, 12


def tasks_of(folder: Path, architecture: str, chat: bool, names: list[str] = TASKS) -> list[BenchmarkTask]:
    return [made(name, folder, 3, tokenizer_of(architecture) if chat else None)[1] for name in names]


def plain(architecture: str, tasks: list[BenchmarkTask]) -> pd.DataFrame:
    model, tokenizer = model_of(architecture), tokenizer_of(architecture)
    lm = hf_backend(model, tokenizer, BATCH)
    return pd.concat([pd.DataFrame(task_rows(lm, tokenizer, task, model)) for task in tasks], ignore_index=True)


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_plain_and_hooked_model_agree_on_every_sample(architecture, chat, tmp_path):
    tasks = tasks_of(tmp_path, architecture, chat)
    table = plain(architecture, tasks)
    evaluator = BenchmarkEvaluator(tasks, tokenizer_of(architecture), BATCH, NEW, 8)
    hooked = pd.DataFrame(evaluator.table(evaluator.score(model_of(architecture)))).drop(columns="format_blind")
    assert list(table) == list(hooked) == COLUMNS and len(table) == sum(len(t.samples) for t in tasks)
    assert table["answer_logprob"].notna().all()
    pd.testing.assert_frame_equal(table, hooked, check_exact=False, atol=1e-4, rtol=0)
    chosen = table[table["task"].isin(CHOSEN)]
    assert 0 < chosen["correct"].mean() < 1  # both verdicts were compared
    assert chosen["length"].nunique() > 1 and table[table["task"].isin(GENERATED)]["completion"].nunique() > 10


@torch.inference_mode()
def naive_sum(model, tokenizer, before: str, after: str) -> float:
    """Log-probability of `after`, tokenized together with the text before it, by one unpadded forward pass."""
    stem = before.rstrip()
    special = not before.startswith(tokenizer.bos_token or tokenizer.eos_token)
    n = len(tokenizer.encode(stem, add_special_tokens=special))
    ids = tokenizer.encode(before + after, add_special_tokens=special)
    logprob_TV = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logprob_TV[t - 1, ids[t]]) for t in range(n, len(ids)))


@pytest.mark.parametrize("architecture", ["qwen3", "llama"])
def test_the_right_answers_log_probability_by_hand(architecture, tmp_path):
    """Choices: softmax over their sums. Solutions: the answer's tokens after the last box, or after one that is put."""
    model, tokenizer = model_of(architecture), tokenizer_of(architecture)
    tasks = tasks_of(tmp_path, architecture, False, ["arc_challenge", "aime24"])
    table = plain(architecture, tasks)
    for sample, row in zip([s for t in tasks for s in t.samples], table.itertuples(), strict=True):
        if sample.choices:
            sums = torch.tensor([naive_sum(model, tokenizer, sample.prompt, c) for c in sample.choices])
            expected = float(sums.log_softmax(0)[sample.choices.index(sample.answer)])
            assert row.completion == sample.choices[int(sums.argmax())]
            assert row.correct == (row.completion == sample.answer)
        else:
            expected = naive_sum(model, tokenizer, f"{sample.prompt}{row.completion}\n\\boxed{{", sample.answer)
        assert row.answer_logprob == pytest.approx(expected, abs=1e-3)


@torch.inference_mode()
def naive_text(model, tokenizer, prompt: str, stops: list[str]) -> str:
    """Greedy completion of one prompt by whole forward passes, cut at the first stop."""
    ids, new = tokenizer.encode(prompt), []
    ends = {tokenizer.eos_token_id, *(tokenizer.convert_tokens_to_ids(s) for s in stops if s in tokenizer.get_vocab())}
    while len(new) < NEW and not (new and new[-1] in ends):
        new.append(int(model(torch.tensor([ids + new])).logits[0, -1].argmax()))
    text = tokenizer.decode(new, skip_special_tokens=True)
    for stop in stops:
        text = text.split(stop)[0]
    return text


def test_completions_are_greedy(tmp_path):
    model, tokenizer = model_of("qwen2"), tokenizer_of("qwen2")
    (task,) = tasks_of(tmp_path, "qwen2", False, ["aime25"])
    model.generation_config.repetition_penalty = 1.7  # as some published checkpoints have it: greedy means greedy
    table = plain("qwen2", [task])
    assert table["completion"].tolist() == [naive_text(model, tokenizer, s.prompt, task.stops) for s in task.samples]


def test_a_verdict_of_ours_replaces_the_shipped_one(tmp_path, monkeypatch):
    _, shipped = made("aime25", tmp_path, 2)
    task = BenchmarkTask(shipped.task, shipped.samples, Benchmark(revision="r", metric="math_verify"), False)
    before = plain("qwen3", [task])
    golds = before["completion"].tolist()[:1] + ["no"] * (len(before) - 1)
    monkeypatch.setattr(
        task.checker, "right", lambda texts, answers: [t == g for t, g in zip(texts, golds, strict=True)]
    )
    assert plain("qwen3", [task])["correct"].tolist() == [True] + [False] * (len(before) - 1)


# Whole jobs


@pytest.fixture
def study(tmp_path):
    """Two checkpoints of one model, samples and documents of two tasks, and what the script is told."""
    folders = [tmp_path / f"checkpoint{i}" for i in (1, 2)]
    for seed, folder in enumerate(folders):
        save_checkpoint(model_of("llama", seed), tokenizer_of("llama"), folder)
    names = ["aime24", "openbookqa"]
    samples = [s for name in names for s in made(name, tmp_path, 2)[0].samples]
    write_rows(tmp_path / "samples.jsonl", samples)
    cfg = {
        "seed": 1,
        "threads": 1,
        "model": "rl",
        "states": ["rl@1", "rl"],
        "benchmarks": {name: {"revision": "r"} for name in names},
        "evaluation": {"batch_size": 3, "max_new_tokens": NEW},
    }
    return cfg, folders, [tmp_path / f"{name}.docs.jsonl" for name in names], tmp_path


def run_script(name: str, *arguments) -> None:
    import runpy

    old, sys.argv = sys.argv, [name, *map(str, arguments)]
    try:
        runpy.run_path(str(script_file(name)), run_name="__main__")
    finally:
        sys.argv = old


def test_the_script_writes_one_row_per_checkpoint_and_sample(study, monkeypatch):
    cfg, folders, docs, folder = study
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    output = folder / "behaviour.parquet"
    run_script(
        "evaluate_benchmarks",
        *("--cfg", json.dumps(cfg), "--checkpoints", *folders, "--tasks", folder / "samples.jsonl"),
        *("--docs", *docs, "--output", output),
    )
    table = pd.read_parquet(output)
    samples = read_samples([folder / "samples.jsonl"])
    assert list(table) == ["model", "state", "checkpoint", "steps_share", *COLUMNS]
    assert table["state"].tolist() == ["rl@1"] * len(samples) + ["rl"] * len(samples)
    assert table["sample"].tolist() == [s.sample for s in samples] * 2
    assert table.groupby("state")["steps_share"].first().to_dict() == {"rl@1": 0.5, "rl": 1.0}
    first, second = (table[table["checkpoint"] == i]["completion"].tolist() for i in (1, 2))
    assert first != second


def test_the_sample_script_writes_what_later_jobs_read(tmp_path):
    save_checkpoint(model_of("llama"), tokenizer_of("llama"), tmp_path / "reference")
    training = {"prompt": "Which of these is most like a cat", "completion": "x", "answer": "y"}
    (tmp_path / "training.jsonl").write_text(json.dumps(training) + "\n")
    benchmark = written("openbookqa", tmp_path).model_dump()
    cfg = {"task": "openbookqa", "role": "selection", "benchmark": benchmark, "chat": True, "prompts_per_half": 2}
    cfg |= {"max_new_tokens": 12}
    run_script(
        "make_benchmark",
        *("--cfg", json.dumps(cfg), "--reference", tmp_path / "reference", "--training", tmp_path / "training.jsonl"),
        *(
            "--samples",
            tmp_path / "s.jsonl",
            "--docs",
            tmp_path / "openbookqa.docs.jsonl",
            "--counts",
            tmp_path / "counts.json",
        ),
    )
    samples = read_samples([tmp_path / "s.jsonl"])
    assert json.loads((tmp_path / "counts.json").read_text())["in_training"] == 1
    evaluation = BenchmarkEvaluation(chat=True)
    docs = [tmp_path / "openbookqa.docs.jsonl"]
    (task,) = read_tasks(samples, docs, {"openbookqa": Benchmark(**benchmark)}, evaluation)
    assert task.samples == samples and task.chat


def test_documents_belong_to_tasks_by_their_names_whatever_the_order(study):
    """Settings come as JSON with sorted keys, files in the order of the study's roles."""
    cfg, _, docs, folder = study
    settings = EvaluateBenchmarks.model_validate(cfg)
    names = list(settings.benchmarks)
    samples = read_samples([folder / "samples.jsonl"])
    assert len(names) > 1 and [path.name for path in docs] == [f"{name}.docs.jsonl" for name in names]
    found = read_tasks(samples, docs[::-1], settings.benchmarks, settings.evaluation)
    assert [task.name for task in found] == names[::-1]
    with pytest.raises(ArtifactError, match=f"expected those of {', '.join(names)}"):
        read_tasks(samples, docs[1:], settings.benchmarks, settings.evaluation)


# vLLM: a stand-in, since the package needs a GPU


def vllm_parameters(function: str) -> list[str]:
    """Parameters of a method of lm-eval's VLLM class, read from its source: importing it needs vLLM."""
    source = Path(find_spec("lm_eval").submodule_search_locations[0]) / "models" / "vllm_causallms.py"
    (cls,) = (n for n in ast.parse(source.read_text()).body if isinstance(n, ast.ClassDef) and n.name == "VLLM")
    (method,) = (n for n in cls.body if isinstance(n, ast.FunctionDef) and n.name == function)
    return [argument.arg for argument in (*method.args.args, *method.args.kwonlyargs)]


@pytest.fixture
def stand_in(monkeypatch):
    """lm-eval's transformers backend in the place of its vLLM class, with that one's signatures."""
    from lm_eval.models.huggingface import HFLM

    from rlgen.models.checkpoints import load_model, load_tokenizer

    class VLLM(HFLM):
        def __init__(self, **settings) -> None:
            assert set(settings) <= set(vllm_parameters("__init__"))
            folder = Path(settings["pretrained"])
            lm = hf_backend(load_model(folder), load_tokenizer(folder), 2)
            self.__dict__ |= lm.__dict__
            self.settings = settings

        def _loglikelihood_tokens(self, requests, disable_tqdm=False):
            assert (
                list(inspect.signature(self._loglikelihood_tokens).parameters)
                == (vllm_parameters("_loglikelihood_tokens")[1:])
            )
            return super()._loglikelihood_tokens(requests, disable_tqdm)

    module = ModuleType("lm_eval.models.vllm_causallms")
    module.VLLM = VLLM
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return VLLM


def evaluated(study, backend: str) -> pd.DataFrame:
    cfg, folders, docs, folder = study
    settings = EvaluateBenchmarks.model_validate(cfg | {"evaluation": cfg["evaluation"] | {"backend": backend}})
    tasks = read_tasks(read_samples([folder / "samples.jsonl"]), docs, settings.benchmarks, settings.evaluation)
    return evaluate_checkpoints(settings, folders, tasks, start(1))


def test_both_backends_give_the_same_table(study, stand_in):
    """Also the right answers' log-probabilities, which one takes from the backend and the other computes."""
    pd.testing.assert_frame_equal(
        evaluated(study, "vllm"), evaluated(study, "transformers"), check_exact=False, atol=1e-4, rtol=0
    )


def test_a_missing_vllm_is_said(study):
    if find_spec("vllm"):
        pytest.skip("vLLM is installed")
    with pytest.raises(ArtifactError, match=r"evaluation\.backend: vllm cannot be imported"):
        evaluated(study, "vllm")


def test_prompts_that_do_not_fit_are_refused_before_weights_are_loaded(study):
    cfg, folders, *_ = study
    cfg["evaluation"]["max_new_tokens"] = 505
    for folder in folders:
        (folder / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"benchmark aime24: the longest prompt .* context holds 512"):
        evaluated(study, "transformers")


# Agreement


def test_agreement_by_hand(capsys):
    behaviour = pd.DataFrame(
        {
            "task": ["a", "a", "b", "a"],
            "state": ["rl", "rl", "rl", "base"],
            "sample": ["1", "2", "3", "1"],
            "correct": [True, False, True, True],
            "answer_logprob": [-1.0, -2.0, -3.0, -4.0],
        }
    )
    hooked = behaviour.assign(
        edit="none", correct=[True, True, True, True], answer_logprob=[-1.5, -2.25, -3.0, -4.0], kl=0.0
    ).iloc[::-1]
    edited = hooked.assign(edit="exchange", correct=False)
    table = agreement(behaviour, pd.concat([edited, hooked[hooked["state"] == "rl"]]))
    assert table.to_dict("records") == [
        {"task": "a", "state": "rl", "n": 2, "same_verdict": 0.5, "logprob_difference": 0.375},
        {"task": "b", "state": "rl", "n": 1, "same_verdict": 1.0, "logprob_difference": 0.0},
    ]
    warn_disagreement(table, 0.5)
    assert capsys.readouterr().err == ""
    warn_disagreement(table, 0.98)
    assert capsys.readouterr().err.startswith("WARNING: a, rl: plain and hooked model give the same verdict on 50.0 %")
