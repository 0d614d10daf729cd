"""Solutions that a model of the study writes: what it reads, what is kept of it, and a killed job."""

import json

import pytest

from rlgen.files import ArtifactError
from rlgen.tasks.samples import Example
from rlgen.teacher.own_solutions import SampleSolutions, write_solutions
from rlgen.teacher.settings import OwnSolutions
from rlgen.teacher.writers import TransformersWriter, Written

EXAMPLES = [Example(f"add {i} | 1 2 3 4 =", "", str(i)) for i in range(5)]


def cfg(**fields) -> SampleSolutions:
    how = OwnSolutions(of="base", **{"prompts": 4, "per_prompt": 2, "batch_prompts": 3} | fields)
    return SampleSolutions(seed=1, threads=1, name="own", solutions=how, chat=False, answer_marker=";", end=" .")


class Scripted:
    """Writes `i ; 1` for its i-th completion of a prompt, and remembers what it read."""

    def __init__(self, tokenizer):
        self.tokenizer, self.read = tokenizer, []

    def write(self, prompts, sampling):
        self.read += prompts
        assert (sampling.n, sampling.temperature, sampling.top_p) == (2, 1.0, 1.0)
        return [[Written(f" {i} ; 1", 4 + i, i == 0) for i in range(sampling.n)] for _ in prompts]


def right(texts, golds):
    return [text.split()[-1] == gold for text, gold in zip(texts, golds, strict=True)]


def test_rows_are_in_the_order_of_the_problems_and_end_where_the_writer_ended(tokenizer, tmp_path):
    writer, path = Scripted(tokenizer), tmp_path / "own.jsonl"
    write_solutions(path, writer, EXAMPLES, right, cfg(prefix="[book]"), None)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["prompt"] for row in rows] == [e.prompt for e in EXAMPLES[:4] for _ in range(2)]
    assert rows[2] == {
        "prompt": EXAMPLES[1].prompt,
        "answer": "1",
        "completion": "0 ; 1 .",
        "tokens": 4,
        "finished": True,
        "right": True,
    }
    assert rows[3]["completion"] == "1 ; 1" and not rows[3]["finished"]
    assert [row["right"] for row in rows] == [e.answer == "1" for e in EXAMPLES[:4] for _ in range(2)]
    assert writer.read == [f"[book] {e.prompt}" for e in EXAMPLES[:4]]  # the learner's prompts have no prefix


def test_a_killed_job_goes_on_at_its_last_chunk_to_the_same_bytes(tokenizer, tmp_path):
    whole, again = tmp_path / "whole.jsonl", tmp_path / "again.jsonl"
    write_solutions(whole, Scripted(tokenizer), EXAMPLES, right, cfg(), tmp_path / "state")
    writer = Scripted(tokenizer)
    (tmp_path / "state/chunk000001.json").unlink()
    write_solutions(again, writer, EXAMPLES, right, cfg(), tmp_path / "state")
    assert writer.read == [EXAMPLES[3].prompt] and again.read_bytes() == whole.read_bytes()
    writer = Scripted(tokenizer)
    write_solutions(again, writer, EXAMPLES, right, cfg(temperature=1.0, prefix="[chat]"), tmp_path / "state")
    assert len(writer.read) == 4  # other settings: nothing of the state is used


def test_a_prompt_that_leaves_no_room_is_refused_before_anything_is_written(tokenizer, tmp_path):
    writer = Scripted(tokenizer)
    with pytest.raises(ArtifactError, match=r"max_model_len: prompt 0 has \d+ tokens and max_new_tokens is 16"):
        write_solutions(tmp_path / "own.jsonl", writer, EXAMPLES, right, cfg(max_model_len=20), None)
    assert writer.read == [] and not (tmp_path / "own.jsonl").exists()


def test_a_models_own_solutions_differ_and_come_again(tiny_model, tokenizer, tmp_path):
    for name in ("one", "two"):
        writer = TransformersWriter(tiny_model, tokenizer, 128)
        write_solutions(tmp_path / name, writer, EXAMPLES, right, cfg(per_prompt=3), None)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    texts = [json.loads(line)["completion"] for line in (tmp_path / "one").read_text().splitlines()]
    assert len(texts) == 12 and len(set(texts)) > 6
