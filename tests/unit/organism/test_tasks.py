"""Task and training files: the right prompts in the right halves, readable by lm-eval, refused when broken."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rlgen.behaviour.settings import Evaluation
from rlgen.files import ArtifactError
from rlgen.organism import tasks
from rlgen.organism.families import FAMILIES
from rlgen.organism.language import Problem
from rlgen.organism.settings import Split
from rlgen.tasks.answers import final_answer
from rlgen.tasks.samples import read_examples, read_samples, write_rows

SCRIPTS = Path(tasks.__file__).parents[2]


def split_of(prompt: str, salt: str) -> str:
    name, init, _, *items, _ = prompt.split()
    return Problem(FAMILIES[name], init, tuple(items)).split(salt, Split())


def test_samples_are_distinct_and_lie_in_their_half():
    samples = tasks.evaluation_samples("par", "unseen", 100, "s", Split())
    assert [s.half for s in samples] == ["discovery"] * 100 + ["test"] * 100
    assert all(split_of(s.prompt, "s") == s.half for s in samples)
    assert len({s.prompt for s in samples}) == len({s.sample for s in samples}) == 200
    assert all((s.task, s.role, s.choices) == ("par", "unseen", ("even", "odd")) for s in samples)
    for s in samples:
        name, init, _, *items, _ = s.prompt.split()
        assert list(s.trace) == FAMILIES[name].trace(init, tuple(items)) and s.trace[-1] == s.answer
    assert samples == tasks.evaluation_samples("par", "unseen", 100, "s", Split())
    assert samples != tasks.evaluation_samples("par", "unseen", 100, "other", Split())


def test_too_many_samples_are_refused_by_field():
    with pytest.raises(ValueError, match=r"evaluation\.prompts_per_half: 900 distinct discovery prompts"):
        tasks.evaluation_samples("dir", "selection", 900, "s", Split())


def test_prompt_id_is_the_start_of_sha256():
    assert tasks.prompt_id("") == "e3b0c44298fc"


@given(st.lists(st.sampled_from([";", "a", "7", "a;", ";b", "so"]), max_size=8).map(" ".join))
def test_the_filter_of_the_task_reads_answers_as_we_do(completion):
    (regex, _) = tasks.lm_eval_task("par", "x.jsonl", Evaluation())["filter_list"][0]["filter"]
    found = re.findall(regex["regex_pattern"], completion)
    assert (found[0] if found else None) == final_answer(completion, ";")


def test_training_examples_are_right_distinct_and_shared_evenly():
    examples = tasks.training_examples(["par", "let"], 101, "s", Split(), seed=0)
    assert len({e.prompt for e in examples}) == 101
    names = [e.prompt.split()[0] for e in examples]
    assert (names.count("par"), names.count("let")) == (51, 50)
    assert len(set(names[:10])) == 2  # shuffled
    for e in examples:
        assert split_of(e.prompt, "s") == "training"
        words = e.plain.split()  # s1 s2 s3 s4 ; s4 .
        assert words[4:] == [";", e.answer, "."] and words[3] == e.answer and e.completion.startswith("see")
        assert words[:4] == e.completion.split()[2:12:3]  # the same steps as the teacher's
        assert final_answer(e.completion, ";") == e.answer
    assert examples == tasks.training_examples(["par", "let"], 101, "s", Split(), seed=0)
    assert examples != tasks.training_examples(["par", "let"], 101, "s", Split(), seed=1)


def test_files_come_back_as_written(tmp_path):
    samples = tasks.evaluation_samples("par", "unseen", 3, "s", Split())
    examples = tasks.training_examples(["par"], 4, "s", Split(), seed=0)
    write_rows(tmp_path / "samples.jsonl", samples)
    write_rows(tmp_path / "examples.jsonl", examples)
    assert read_samples([tmp_path / "samples.jsonl"] * 2) == samples * 2
    assert read_examples(tmp_path / "examples.jsonl", at_least=4) == examples
    with pytest.raises(ArtifactError, match=r"examples\.jsonl: holds 4 training examples, expected at least 5"):
        read_examples(tmp_path / "examples.jsonl", at_least=5)


@pytest.mark.parametrize("broken", ['{"task": "par"', '{"task": "par"}', "[]", "3"])
def test_a_broken_line_is_named(tmp_path, broken):
    file = tmp_path / "par.jsonl"
    write_rows(file, tasks.evaluation_samples("par", "unseen", 2, "s", Split()))
    file.write_text(file.read_text() + broken + "\n")
    with pytest.raises(ArtifactError, match=r"par\.jsonl: line 5 "):
        read_samples([file])


def test_the_script_writes_a_task_without_machine_paths(tmp_path):
    cfg = {"salt": "s", "task": "let", "role": "selection", "split": Split().model_dump()}
    cfg["evaluation"] = Evaluation(prompts_per_half=5).model_dump()
    files = ["--samples", str(tmp_path / "tasks" / "let.jsonl"), "--task", "tasks/let.yaml"]
    command = [sys.executable, str(SCRIPTS / "data/make_task.py"), "--cfg", json.dumps(cfg), *files]
    subprocess.run(command, cwd=tmp_path, check=True)
    samples = read_samples([tmp_path / "tasks" / "let.jsonl"])
    task = yaml.safe_load((tmp_path / "tasks" / "let.yaml").read_text())
    assert task["dataset_kwargs"]["data_files"] == {"samples": "tasks/let.jsonl"}
    assert str(tmp_path) not in (tmp_path / "tasks" / "let.yaml").read_text()
    assert task["dataset_kwargs"]["split"] == {"discovery": "samples[:5]", "test": "samples[5:]"}
    assert [s.half for s in samples] == ["discovery"] * 5 + ["test"] * 5
    assert sorted(path.name for path in (tmp_path / "tasks").iterdir()) == ["let.jsonl", "let.yaml"]
