"""`make pin` on the studies that are shipped, and the refusal of a benchmark that it has not seen."""

import hashlib
import re
from functools import reduce
from operator import getitem
from pathlib import Path

import datasets
import pytest
import yaml
from hub_server import COMMIT, Hub, serving

from rlgen.files import ArtifactError
from rlgen.sources.pinning import pin
from rlgen.sources.settings import Load
from rlgen.study.load import load
from rlgen.tasks import shipped
from rlgen.tasks.settings import Benchmark

ROOT = Path(__file__).parents[3]
# What the shipped studies take from the hub; data sets of tasks as lm-eval's own files name them.
BENCHMARKS = {
    "hendrycks_math500": "HuggingFaceH4/MATH-500",
    "aime24": "Maxwell-Jia/AIME_2024",
    "aime25": "math-ai/aime25",
    "openbookqa": "allenai/openbookqa",
    "commonsense_qa": "tau/commonsense_qa",
    "headqa_en": "EleutherAI/headqa",
    "sciq": "allenai/sciq",
    "arc_challenge": "allenai/ai2_arc",  # inherited from arc_easy
    "logiqa": "EleutherAI/logiqa",
    "piqa": "baber/piqa",
}
PAPER = {
    "data.sources.reasoning.revision": ("dataset", "open-thoughts/OpenThoughts-114k"),
    "data.sources.general.revision": ("dataset", "togethercomputer/RedPajama-Data-1T-Sample"),
    "data.teacher.revision": ("model", "Qwen/Qwen3-32B"),
    **{f"data.benchmarks.{task}.revision": ("dataset", name) for task, name in BENCHMARKS.items() if task != "logiqa"},
}  # LogiQA's data set is a loading script: a file of documents stands in
SHIPPED = {
    "qwen3-4b": PAPER | {"models.base.revision": ("model", "Qwen/Qwen3-4B-Base")},
    "qwen2.5-7b": PAPER | {"models.base.revision": ("model", "Qwen/Qwen2.5-7B")},
    "llama3.1-8b": PAPER | {"models.base.revision": ("model", "meta-llama/Llama-3.1-8B-Instruct")},
    "bring-your-own": {
        f"data.benchmarks.{task}.revision": ("dataset", BENCHMARKS[task])
        for task in ("arc_challenge", "openbookqa", "sciq", "piqa")
    },
}


def unfilled(name: str) -> str:
    """A shipped study without its commits, whether some were written into it or not."""
    return re.sub(r"\brevision: [0-9a-f]{40}\b", "revision: null", (ROOT / "config" / f"{name}.yaml").read_text())


def commit_of(kind: str, repository: str, revision: str | None) -> str:
    """A commit of its own for every question."""
    return hashlib.sha1(f"{kind} {repository} {revision}".encode()).hexdigest()


def nobody(*_, **__):
    raise AssertionError("asked")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_study_is_pinned_by_revisions_alone(name, tmp_path, monkeypatch):
    path, expected = tmp_path / f"{name}.yaml", SHIPPED[name]
    text = unfilled(name)
    path.write_text(text)
    hub = Hub()
    hub.folders = {repository: tmp_path for _, repository in expected.values()}  # it knows no others
    with serving(hub, tmp_path / "cache", monkeypatch):
        lines = pin(path, check=False)
    assert set(lines) == {f"{field}: {repository} {COMMIT}" for field, (_, repository) in expected.items()}
    asked = [name for name in hub.asked if not name.startswith("api/")]  # the client has questions of its own
    assert sorted(asked) == sorted(repository for _, repository in expected.values())
    new = path.read_text()
    old_lines, new_lines = text.splitlines(), new.splitlines()
    changed = [(old, new) for old, new in zip(old_lines, new_lines, strict=True) if old != new]
    assert len(changed) == len(expected)
    assert all(old.replace("revision: null", f"revision: {COMMIT}") == new for old, new in changed)
    study = load(path)
    models = [source for model in study.models.values() if isinstance(model, Load) for source in model.sources()]
    published = [source for source in study.data.sources.values() if source.hub]
    benchmarks = [benchmark for benchmark in study.data.benchmarks.values() if not benchmark.files]
    revisions = {one.revision for one in (*published, *benchmarks)}
    revisions |= {one.revision for one in (*models, study.data.teacher) if one and not one.origin.startswith(".")}
    assert revisions == {COMMIT}
    assert pin(path, check=False, commit_of=nobody) == [] and path.read_text() == new
    assert pin(path, check=True) == []


@pytest.mark.parametrize("name", SHIPPED)
def test_models_and_data_sets_are_told_apart(name, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(unfilled(name))
    lines = pin(path, check=False, commit_of=commit_of)
    expected = {
        what: (repository, commit_of(kind, repository, None)) for what, (kind, repository) in SHIPPED[name].items()
    }
    assert {line.partition(": ")[0]: tuple(line.partition(": ")[2].split()) for line in lines} == expected
    content = yaml.safe_load(path.read_text())
    for what, (_, commit) in expected.items():
        assert reduce(getitem, what.split("."), content) == commit


def test_tasks_of_lm_eval_name_their_data_sets():
    assert {task: shipped.data_set(task) for task in BENCHMARKS} == BENCHMARKS
    with pytest.raises(ArtifactError, match="benchmark no_such_task: the installed lm-eval ships no task of that name"):
        shipped.data_set("no_such_task")
    for name, what in (("wnli_es", "csv"), ("niah_single_1", "generated")):
        message = rf"data\.benchmarks\.{name}: its documents are no data set of the hub \({what}\); give `files`"
        with pytest.raises(ArtifactError, match=message):
            shipped.data_set(name)


@pytest.mark.parametrize(
    ("name", "revision", "problem"),
    [
        ("openbookqa", None, r"\.revision: allenai/openbookqa: no revision, .*; run `make pin STUDY="),
        ("openbookqa", "main", r"\.revision: allenai/openbookqa: revision 'main' may move, .* run `make pin STUDY="),
        ("wnli_es", None, r": its documents are no data set of the hub \(csv\); give `files`"),
    ],
)
def test_a_benchmark_without_a_commit_is_refused_before_the_hub_is_asked(name, revision, problem, monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", nobody)
    with pytest.raises(ArtifactError, match=rf"^data\.benchmarks\.{name}{problem}"):
        shipped.shipped_task(name, Benchmark(options=4, revision=revision))
