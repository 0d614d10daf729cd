"""Problems drawn from a source: each once, in an order that the seed decides, and refused where there are too few."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_files import write_rows

from rlgen.files import ArtifactError
from rlgen.tasks.problems import Problem, drawn, read_problems
from rlgen.tasks.samples import Example


def problems(path, n: int, completed: int):
    """n problems, of which the first `completed` have a completion."""
    rows = [
        {"prompt": f"p{i}", "answer": str(i)} | ({"completion": f"c{i}"} if i < completed else {}) for i in range(n)
    ]
    return write_rows(path, rows)


@given(n=st.integers(1, 40), data=st.data(), seed=st.integers(0, 2**31))
def test_a_draw_takes_each_problem_once_with_its_own_answer(n, data, seed, tmp_path_factory):
    path = problems(tmp_path_factory.mktemp("problems") / "p.jsonl", n, n)
    some, more = sorted(data.draw(st.tuples(st.integers(1, n), st.integers(1, n))))
    examples = drawn(path, more, completions=True, seed=seed)
    numbers = [int(e.answer) for e in examples]
    assert len(set(numbers)) == more and set(numbers) <= set(range(n))
    assert examples == [Example(f"p{i}", f"c{i}", str(i)) for i in numbers]
    assert drawn(path, some, completions=True, seed=seed) == examples[:some]  # a shorter training takes the first


def test_the_seed_decides_the_order(tmp_path):
    path = problems(tmp_path / "p.jsonl", 60, 0)
    first, again, other = (drawn(path, 60, completions=False, seed=seed) for seed in (0, 0, 1))
    assert first == again != other and sorted(first, key=str) == sorted(other, key=str)
    assert first != sorted(first, key=lambda e: int(e.answer))
    assert {e.completion for e in first} == {""}


def test_too_few_problems_are_told_with_both_numbers(tmp_path):
    path = problems(tmp_path / "p.jsonl", 5, 5)
    with pytest.raises(ArtifactError, match=r"p\.jsonl: holds 5 problems, 6 are needed; lower the models' examples"):
        drawn(path, 6, completions=False, seed=0)
    assert len(drawn(path, 5, completions=True, seed=0)) == 5
    path.write_text("")
    with pytest.raises(ArtifactError, match="holds no problems"):
        drawn(path, 1, completions=False, seed=0)


def test_sft_needs_a_completion_of_every_problem(tmp_path):
    """Even of those that this draw leaves out: the next seed would draw them."""
    path = problems(tmp_path / "p.jsonl", 5, 3)
    with pytest.raises(ArtifactError, match=r"2 of 5 problems have no completion for SFT to learn; give the source's"):
        drawn(path, 1, completions=True, seed=0)
    assert {e.completion for e in drawn(path, 5, completions=False, seed=0)} == {"c0", "c1", "c2", ""}


@pytest.mark.parametrize("row", ["{", "3", "[]", '"prompt"', '{"prompt": "p"}', '{"answer": "1"}', "", "null"])
def test_a_line_that_is_no_problem_is_named(tmp_path, row):
    path = problems(tmp_path / "p.jsonl", 2, 0)
    path.write_text(path.read_text() + row + "\n" + path.read_text())
    with pytest.raises(ArtifactError, match=r"p\.jsonl: line 3 is not what is expected there"):
        read_problems(path)


def test_other_line_separators_do_not_end_a_row(tmp_path):
    rows = [{"prompt": "a\u2028b\u0085c\x0b", "answer": "1", "level": 3}, {"prompt": "d\r", "answer": "2"}]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    assert read_problems(path) == [Problem(row["prompt"], row["answer"]) for row in rows]
