"""Trajectories: which problems a shard takes, what a killed one continues from, which completions SFT learns from."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from tiny_models import tiny_checkpoint, tiny_tokenizer

from rlgen.files import ArtifactError
from rlgen.seeds import stream_seed
from rlgen.tasks.problems import Problem, read_problems
from rlgen.tasks.samples import Example, Trajectory, read_examples, write_rows
from rlgen.teacher.settings import Teacher
from rlgen.teacher.shards import WriteTrajectories, write_shard
from rlgen.teacher.trajectories import collect
from rlgen.teacher.writers import Written

ROOT = Path(__file__).parents[3]
PROBLEMS = [Problem(f"What is {i} + {i}?", str(2 * i)) for i in range(7)]
FEW = {"samples_per_prompt": 3, "max_new_tokens": 20, "max_model_len": 200, "shards": 2, "batch_prompts": 2}
TEACHER = Teacher(**{"from": "checkpoints/teacher"}, **FEW)


def cfg(shard: int = 0, chat: bool = True, **teacher) -> WriteTrajectories:
    how = Teacher(**TEACHER.model_dump() | teacher)
    return WriteTrajectories(seed=5, threads=1, shard=shard, chat=chat, teacher=how)


class Adder:
    """A teacher that answers sums: its first completion is wrong, its second right, its third right but cut short."""

    def __init__(self, breaks_after: int = 10**9) -> None:
        self.tokenizer, self.calls, self.breaks_after = tiny_tokenizer(), [], breaks_after

    def write(self, prompts, sampling):
        if len(self.calls) == self.breaks_after:
            raise KeyboardInterrupt
        self.calls.append((prompts, sampling))
        numbers = [int(re.search(r"is (\d+) ", prompt)[1]) for prompt in prompts]
        return [[self.answer(number, i) for i in range(sampling.n)] for number in numbers]

    def answer(self, number: int, i: int) -> Written:
        value = 2 * number + (i == 0)
        return Written(f"Sum {i}: \\boxed{{{value}}}", 10 * i + number, i < 2)


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_shard_takes_every_nth_problem_and_judges_every_completion(tmp_path):
    writer = Adder()
    write_shard(tmp_path / "1.jsonl", writer, PROBLEMS, cfg(shard=1), None)
    found = rows(tmp_path / "1.jsonl")
    assert [row["prompt"] for row in found] == [PROBLEMS[i].prompt for i in (1, 3, 5) for _ in range(3)]
    assert found[0] == {
        "prompt": "What is 1 + 1?", "answer": "2", "completion": "Sum 0: \\boxed{3}", "tokens": 1, "finished": True,
        "right": False,
    }  # fmt: skip
    assert [(row["finished"], row["right"]) for row in found] == [(True, False), (True, True), (False, True)] * 3
    rendered = "<|im_start|>user\nWhat is 1 + 1?<|im_end|>\n<|im_start|>assistant\n"
    assert writer.calls[0][0][0] == rendered and [len(call[0]) for call in writer.calls] == [2, 1]
    assert {(s.n, s.max_new_tokens, s.temperature, s.top_p) for _, s in writer.calls} == {
        (3, 20, TEACHER.temperature, TEACHER.top_p)
    }
    plain = Adder()
    write_shard(tmp_path / "plain.jsonl", plain, PROBLEMS, cfg(shard=1, chat=False), None)
    assert plain.calls[0][0] == ["What is 1 + 1?", "What is 3 + 3?"]


def test_a_killed_shard_goes_on_with_the_missing_chunks_to_the_same_bytes(tmp_path):
    write_shard(tmp_path / "whole.jsonl", Adder(), PROBLEMS, cfg(), None)
    state = tmp_path / "state"
    killed = Adder(breaks_after=1)
    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path / "0.jsonl", killed, PROBLEMS, cfg(), state)
    assert not (tmp_path / "0.jsonl").exists() and len(list(state.iterdir())) == 1
    rest = Adder()
    write_shard(tmp_path / "0.jsonl", rest, PROBLEMS, cfg(), state)
    assert len(killed.calls) == len(rest.calls) == 1
    assert (tmp_path / "0.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("damage", ["cut", "altered", "foreign", "seed", "problems", "settings"])
def test_a_chunk_that_is_not_what_this_job_would_write_is_written_anew(tmp_path, capsys, damage):
    state, other = tmp_path / "state", cfg()
    write_shard(tmp_path / "0.jsonl", Adder(), PROBLEMS, cfg(), state)
    chunk = state / "chunk000001.json"
    problems = PROBLEMS
    if damage == "cut":
        chunk.write_bytes(chunk.read_bytes()[:-5])
    elif damage == "altered":
        chunk.write_text(chunk.read_text().replace("Sum 1", "Sum 9"))
    elif damage == "foreign":
        chunk.write_text("[1]")
    elif damage == "seed":
        other = other.model_copy(update={"seed": 6})
    elif damage == "problems":
        problems = [*PROBLEMS[:4], Problem("What is 4 + 4?", "9"), *PROBLEMS[5:]]
    else:
        other = cfg(temperature=0.5)
    writer = Adder()
    write_shard(tmp_path / "again.jsonl", writer, problems, other, state)
    assert "chunk000001.json: it is not what this job would write" in capsys.readouterr().err
    assert len(writer.calls) == (2 if damage in ("seed", "settings") else 1)
    write_shard(tmp_path / "new.jsonl", Adder(), problems, other, None)
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "new.jsonl").read_bytes()


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path):
    writer = Adder()
    with pytest.raises(ArtifactError, match=r"shards: 1 problems \(value 2\), expected at most as many shards"):
        write_shard(tmp_path / "x.jsonl", writer, PROBLEMS[:1], cfg(shard=1), None)
    long = [*PROBLEMS, Problem("word " * 300, "1"), PROBLEMS[0]]
    with pytest.raises(ArtifactError, match=r"max_model_len: prompt 3 has .*it begins '<\|im_start\|>user"):
        write_shard(tmp_path / "x.jsonl", writer, long, cfg(shard=1), None)
    writer.tokenizer.chat_template = None
    with pytest.raises(ArtifactError, match="no chat template"):
        write_shard(tmp_path / "x.jsonl", writer, PROBLEMS, cfg(), None)
    assert writer.calls == [] and list(tmp_path.iterdir()) == []


def test_problems_are_read_and_bad_ones_named(tmp_path):
    path = tmp_path / "problems.jsonl"
    path.write_text(
        '{"prompt": "a", "answer": "1", "completion": "c"}\n{"prompt": "b\u2028", "answer": "2"}\n', "utf-8"
    )
    assert read_problems(path) == [Problem("a", "1", "c"), Problem("b\u2028", "2")]
    for line, problem in [
        ('{"prompt": "a"}', "line 1 .*answer is None, expected some text"),
        ('{"prompt": "a", "answer": " "}', "answer is ' '"),
        ('{"prompt": "a", "answer": 3}', "answer is 3"),
        ("[1]", "line 1 is not"),
        ('{"prompt": "a"', "line 1 is not"),
        ("", "holds no problems"),
    ]:
        path.write_text(line)
        with pytest.raises(ArtifactError, match=rf"problems\.jsonl: .*{problem}"):
            read_problems(path)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_problems(tmp_path / "nowhere.jsonl")


# --- what is kept


def row(problem: int, completion: str, tokens: int = 1, finished: bool = True, right: bool = True) -> Trajectory:
    return Trajectory(PROBLEMS[problem].prompt, PROBLEMS[problem].answer, completion, tokens, finished, right)


def shards(folder: Path, *parts: list[Trajectory]) -> list[Path]:
    paths = [folder / f"{i}.jsonl" for i in range(len(parts))]
    for path, part in zip(paths, parts, strict=True):
        write_rows(path, part)
    return paths


HAND = [  # shard 0 has problems 0 and 2, shard 1 has problem 1
    [row(0, "a", 3, right=False), row(0, "b", 9), row(0, "c", 5), row(2, "g", 8), row(2, "g", 8), row(2, "h", 7)],
    [row(1, "d", 1, finished=False), row(1, "e", 2, right=False), row(1, "f", 6, finished=False)],
]


def test_the_first_accepted_are_kept_equal_ones_once(tmp_path):
    paths = shards(tmp_path, *HAND)
    first = collect(paths, TEACHER)
    assert [[e.completion for e in some] for some in first.kept] == [["b"], [], ["g"]]
    assert first.kept[0] == [Example("What is 0 + 0?", "b", "0")]
    many = collect(paths, TEACHER.model_copy(update={"keep_per_prompt": 2}))
    assert [[e.completion for e in some] for some in many.kept] == [["b", "c"], [], ["g", "h"]]
    order = [place for place in np.random.default_rng(stream_seed(4, "problems")).permutation(3) if place != 1]
    expected = [many.kept[place][i].completion for i in (0, 1) for place in order]
    assert [e.completion for e in many.examples(4, 4)] == expected  # all problems once, before any comes twice
    with pytest.raises(ArtifactError, match="4 completions of 3 problems kept, expected at least 5; take more"):
        many.examples(5, 4)


def test_the_report_by_hand(tmp_path):
    """Accepted lengths 9 5 8 8 7, rejected 3 1 2 6."""
    table = collect(shards(tmp_path, *HAND), TEACHER).report()
    value = table.set_index(["measure", "of"])["value"].to_dict()
    counts = {("problems", "all"): 3, ("problems", "with an accepted completion"): 2, ("completions", "all"): 9}
    counts |= {("completions", "accepted"): 5, ("completions", "kept"): 2}
    shares = {("finished_share", "all"): 7 / 9, ("accepted_share", "all"): 5 / 9}
    lengths = {("tokens_q50", "accepted"): 8, ("tokens_q100", "accepted"): 9, ("tokens_q25", "accepted"): 7}
    lengths |= {("tokens_q50", "rejected"): 2.5, ("tokens_q100", "rejected"): 6, ("tokens_q75", "rejected"): 3.75}
    for key, expected in (counts | shares | lengths).items():
        assert value[key] == pytest.approx(expected), key
    assert len(table) == 7 + 2 * 6
    nothing = [row(0, "x", right=False)] * 3
    table = collect(shards(tmp_path, nothing), TEACHER.model_copy(update={"shards": 1})).report()
    assert set(table[table.measure.str.startswith("tokens")].of) == {"rejected"}


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ([HAND[0][:5], HAND[1]], r"0\.jsonl: does not hold 3 completions of its problem 1"),
        ([HAND[0], HAND[1][:2]], r"1\.jsonl: does not hold 3 completions of its problem 0"),
        ([HAND[0], [*HAND[1][:2], row(3, "z")]], r"1\.jsonl: does not hold 3 completions of its problem 0"),
        ([HAND[1], HAND[0]], r"1\.jsonl: holds more problems than the shard before it"),
        ([[], []], "holds no completions"),
        ([HAND[0]], r"shards: 1 files \(value 2\)"),
    ],
)
def test_shards_that_do_not_fit_are_named(tmp_path, parts, problem):
    with pytest.raises(ArtifactError, match=problem):
        collect(shards(tmp_path, *parts), TEACHER)


def test_shards_put_together_are_the_problems_in_their_order(tmp_path):
    for n in (1, 2, 3):
        how, paths = TEACHER.model_copy(update={"shards": n}), []
        for shard in range(n):
            paths.append(tmp_path / f"{n}-{shard}.jsonl")
            write_shard(paths[-1], Adder(), PROBLEMS, cfg(shard, shards=n), None)
        found = collect(paths, how)
        assert [[e.prompt for e in some] for some in found.kept] == [[p.prompt] for p in PROBLEMS]
        assert all(e.completion.startswith("Sum 1") for some in found.kept for e in some)


def test_texts_with_any_line_separator_survive_as_training_examples(tmp_path):
    """str.splitlines also splits at these, which JSON leaves as they are."""
    examples = [Example("p\u2028", "a\x85b\u2029c\x0bd\x1ce\nf\r", "1"), Example("q", "g", "2")]
    write_rows(tmp_path / "examples.jsonl", examples)
    assert read_examples(tmp_path / "examples.jsonl", at_least=2) == examples
    write_rows(tmp_path / "none.jsonl", [])
    with pytest.raises(ArtifactError, match="holds 0 training examples"):
        read_examples(tmp_path / "none.jsonl", at_least=1)


# --- settings and scripts


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"keep_per_prompt": 4}, "keep_per_prompt=4, expected at most samples_per_prompt=3"),
        ({"max_new_tokens": 200}, "max_new_tokens=200, expected less than max_model_len=200"),
        ({"temperature": 0.0}, "samples_per_prompt=3, expected 1 at temperature 0"),
        ({"backend": "magic"}, "backend"),
        ({"top_p": 0.0}, "top_p"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(change, problem):
    with pytest.raises(ValidationError, match=problem):
        Teacher(**TEACHER.model_dump() | change)


def test_a_shard_that_the_teacher_does_not_have_is_refused():
    with pytest.raises(ValidationError, match="shard=2, expected less than shards=2"):
        cfg(shard=2)


def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    call = [sys.executable, ROOT / "scripts/data" / script, *arguments]
    return subprocess.run(list(map(str, call)), capture_output=True, text=True)


def test_both_scripts_with_a_tiny_model(tmp_path):
    """A random model is hardly ever right: golds are what it wrote, read as text."""
    folder = tiny_checkpoint(tmp_path / "teacher")
    problems = tmp_path / "problems.jsonl"
    problems.write_text(
        "".join(json.dumps({"prompt": f"How many, {i}?", "answer": "none at all"}) + "\n" for i in range(5))
    )
    how = TEACHER.model_copy(update={"dtype": "float32", "gpus": 0, "backend": "transformers"})
    paths = [tmp_path / f"{i}.jsonl" for i in range(2)]
    for shard, path in enumerate(paths):
        slice_ = WriteTrajectories(seed=1, threads=1, shard=shard, chat=True, teacher=how).model_dump_json()
        ended = run("write_trajectories.py", "--cfg", slice_, "--problems", problems, "--teacher", folder,
                    "--output", path, "--state", tmp_path / "state")  # fmt: skip
        assert ended.returncode == 0, ended.stderr
    assert [len(rows(path)) for path in paths] == [9, 6]
    assert all(0 < r["tokens"] <= 20 for path in paths for r in rows(path))
    cfg_ = json.dumps({"seed": 1, "examples": 400, "at_least": 4, "teacher": how.model_dump()})
    arguments = [
        "--cfg",
        cfg_,
        "--trajectories",
        *paths,
        "--output",
        tmp_path / "t.jsonl",
        "--report",
        tmp_path / "r.csv",
    ]
    ended = run("collect_trajectories.py", *arguments)
    assert ended.returncode != 0 and "0 completions of 5 problems kept, expected at least 4" in ended.stderr
    assert (tmp_path / "r.csv").exists()  # says why
    for path in paths:
        path.write_text("".join(json.dumps(r | {"right": True, "finished": True}) + "\n" for r in rows(path)))
    ended = run("collect_trajectories.py", *arguments)  # examples is an upper bound: no teacher solves every problem
    assert ended.returncode == 0 and "5 solutions of 5 of 5 problems kept; SFT takes at most 400" in ended.stderr
    assert len(read_examples(tmp_path / "t.jsonl", at_least=5)) == 5
    assert pd.read_csv(tmp_path / "r.csv").set_index(["measure", "of"]).loc[("accepted_share", "all"), "value"] == 1
