"""LogiQA's published text becomes the documents that lm-eval's own task reads."""

import json
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from rlgen.files import ArtifactError
from rlgen.sources.logiqa import documents
from rlgen.sources.prompts import benchmark_samples
from rlgen.tasks.settings import Benchmark
from rlgen.tasks.shipped import shipped_task

ROOT = Path(__file__).parents[3]
BLOCKS = [
    "\nb\nAll cats sleep.Tom is a cat.\nWhich follows?\nA.Tom barks.\nB.Tom sleeps.\nC.Tom reads.\nD.Tom – swims.\n",
    *(f"\nd\nPassage {i}.\nWhich is {i}?\nA.none\nB.one\nC.two\nD.it is {i}\n" for i in range(7)),
]


@pytest.fixture
def published(tmp_path) -> Path:
    (tmp_path / "Test.txt").write_text("".join(BLOCKS), encoding="utf-8")
    return tmp_path / "Test.txt"


def test_a_block_by_hand(published):
    found = documents(published)
    assert len(found) == 8
    assert found[0] == {
        "label": "b",
        "context": "All cats sleep. Tom is a cat.",
        "question": "Which follows?",
        "options": ["Tom barks.", "Tom sleeps.", "Tom reads.", "Tom – swims."],
    }


def test_the_tool_writes_what_the_shipped_task_reads(published, tmp_path):
    call = [sys.executable, "scripts/tools/convert_logiqa.py", published, tmp_path / "out.jsonl"]
    subprocess.run(call, cwd=ROOT, check=True)
    task = shipped_task("logiqa", Benchmark(files={"test": str(tmp_path / "out.jsonl")}, options=4))
    samples = {sample.prompt: sample for sample in benchmark_samples(task, "unseen", 8).samples}
    asked = (
        "Passage: All cats sleep. Tom is a cat.\nQuestion: Which follows?\nChoices:\nA. Tom barks.\nB. Tom sleeps.\n"
    )
    assert len(samples) == 8 and samples[asked + "C. Tom reads.\nD. Tom – swims.\nAnswer:"].answer == " Tom sleeps."
    assert json.loads((tmp_path / "out.jsonl").read_text("utf-8").split("\n")[0])["label"] == "b"


@pytest.mark.parametrize(
    "change", [("\nb\n", "\ne\n"), ("B.Tom", "Tom"), ("Which follows?\n", ""), ("\nb\n", "\nbc\n")]
)
def test_a_block_that_is_none_is_named(published, change):
    published.write_text("".join(reversed(BLOCKS)).replace(*change), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"Test\.txt: block 8 is no letter, passage, question and four choices"):
        documents(published)


def test_the_task_itself_says_that_its_data_set_is_a_script(monkeypatch):
    def load(*_, **__):
        raise RuntimeError("Dataset scripts are no longer supported, but found logiqa.py")

    monkeypatch.setattr(datasets, "load_dataset", load)
    message = r"benchmark logiqa: its data set EleutherAI/logiqa holds the loading script logiqa\.py, .*; give `files`"
    with pytest.raises(ArtifactError, match=message):
        shipped_task("logiqa", Benchmark(revision="a" * 40, options=4))
