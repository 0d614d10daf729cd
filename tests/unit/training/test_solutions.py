"""What is learnt of own solutions: hand-made files, and any file: order, kinds, counts."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlgen.files import ArtifactError
from rlgen.tasks.samples import Example, Trajectory
from rlgen.training.solutions import Pair, preference_pairs, solutions_to_learn


def row(prompt: str, text: str, right: bool = True, finished: bool = True) -> Trajectory:
    return Trajectory(prompt, f"answer of {prompt}", text, 3, finished, right)


ROWS = [
    row("a", "a1"), row("a", "a2", right=False), row("a", "a1"), row("a", "a3"),
    row("b", "b1", right=False), row("b", "b2", right=False), row("b", "b3", finished=False), row("b", "b4"),
    row("c", "c1", right=False), row("c", "c2", finished=False), row("c", "c1", right=False),
    row("c", "c3", right=False),
]  # fmt: skip


@pytest.fixture
def file(tmp_path):
    def write(rows):
        path = tmp_path / "solutions.jsonl"
        path.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
        return path

    return write


def test_right_solutions_are_learnt_the_first_of_every_problem_first(file):
    found = solutions_to_learn(file(ROWS), "right", 1)
    assert [example.completion for example in found] == ["a1", "b4", "a3"]
    assert found[1] == Example("b", "b4", "answer of b")


def test_all_that_end_may_be_learnt(file):
    found = [example.completion for example in solutions_to_learn(file(ROWS), "all", 1)]
    assert found == ["a1", "b1", "c1", "a2", "b2", "c3", "a3", "b4"]


def test_a_round_that_accepts_too_little_is_refused_with_its_numbers(file):
    with pytest.raises(ArtifactError, match=r"holds 3 right solutions of 3 problems, expected at least 4"):
        solutions_to_learn(file(ROWS), "right", 4)
    with pytest.raises(ArtifactError, match=r"holds 0 right solutions of 1 problems, expected at least 1"):
        solutions_to_learn(file([row("a", "a1", right=False)]), "right", 1)


def test_a_right_solution_stands_before_a_wrong_one_of_the_same_problem(file):
    assert preference_pairs(file(ROWS), None, 1) == [Pair("a", "a1", "a2"), Pair("b", "b4", "b1")]
    more = [*ROWS[:4], row("a", "a5", right=False), *ROWS[4:]]
    assert preference_pairs(file(more), None, 1) == [
        Pair("a", "a1", "a2"),
        Pair("b", "b4", "b1"),
        Pair("a", "a3", "a5"),
    ]


def test_the_teachers_solution_stands_before_any_other_and_equal_sides_are_told(file, capsys):
    teacher = [Example("a", "a1", ""), Example("c", "other", "")]
    pairs = preference_pairs(file(ROWS), teacher, 1)
    assert pairs == [
        Pair("a", "a1", "a2"),
        Pair("c", "other", "c1"),
        Pair("a", "a1", "a3"),
        Pair("c", "other", "c3"),
    ]
    assert "1 pairs left out whose two sides are equal" in capsys.readouterr().err


def test_too_few_pairs_are_refused_with_their_numbers(file):
    same = [row("a", "a1"), row("a", "a1")]
    with pytest.raises(
        ArtifactError, match=r"makes 0 pairs of 1 problems, 1 more have equal sides, expected at least 1"
    ):
        preference_pairs(file(same), [Example("a", "a1", "")], 1)
    with pytest.raises(ArtifactError, match=r"makes 2 pairs of 3 problems, expected at least 3"):
        preference_pairs(file(ROWS), None, 3)


ANY = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["1", "2", "3"]), st.booleans(), st.booleans()), max_size=30
)


@given(rows=ANY)
def test_pairs_part_right_from_wrong_and_use_no_solution_twice(rows, tmp_path_factory):
    # One verdict per text, as a judge gives; problems in order, as they are written.
    rows = [row(p, t, right=(ord(p) + int(t)) % 2 == 0, finished=f) for p, t, _, f in sorted(rows, key=lambda r: r[0])]
    path = tmp_path_factory.mktemp("any") / "s.jsonl"
    path.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
    pairs = preference_pairs(path, None, 0)
    right = {(r.prompt, r.completion) for r in rows if r.right and r.finished}
    wrong = {(r.prompt, r.completion) for r in rows if not r.right and r.finished}
    assert {(p.prompt, p.chosen) for p in pairs} <= right and {(p.prompt, p.rejected) for p in pairs} <= wrong
    assert len({(p.prompt, p.chosen) for p in pairs}) == len(pairs) == len({(p.prompt, p.rejected) for p in pairs})
    counts = [min(len({c for q, c in side if q == p}) for side in (right, wrong)) for p in "abcd"]
    assert len(pairs) == sum(counts)
    learnt = solutions_to_learn(path, "right", 0)
    assert {(e.prompt, e.completion) for e in learnt} == right and len(learnt) == len(right)
