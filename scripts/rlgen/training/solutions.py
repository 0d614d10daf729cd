"""What a model learns of solutions that models of the study wrote: the kept ones, or pairs of a better and a worse one.

Of every problem the first solution comes before any second one, so that a short training sees many problems.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Literal

from rlgen.files import ArtifactError, read_rows
from rlgen.tasks.samples import Example, Trajectory


@dataclass(frozen=True)
class Pair:
    """Two solutions of one problem."""

    prompt: str
    chosen: str
    rejected: str


def solutions_to_learn(path: Path, keep: Literal["right", "all"], least: int) -> list[Example]:
    """The kept solutions of a file, equal ones of a problem once; what has no end is no solution.

    Raises ArtifactError where there are fewer than `least`: a round of rejection sampling that accepts nothing.
    """
    found = [
        [Example(row.prompt, row.completion, row.answer) for row in rows if row.right or keep == "all"]
        for rows in _finished(path)
    ]
    examples = list(_in_turn([list(dict.fromkeys(some)) for some in found]))
    if len(examples) < least:
        kind = "right solutions" if keep == "right" else "solutions that end"
        what = f"holds {len(examples)} {kind} of {len(found)} problems, expected at least {least}"
        remedy = (
            "take more `prompts`, more `per_prompt`, a longer `max_new_tokens`, or problems that the writer can solve"
        )
        raise ArtifactError(path, what, remedy)
    return examples


def preference_pairs(path: Path, teacher: Sequence[Example] | None, least: int) -> list[Pair]:
    """Pairs of a file's solutions: a right and a wrong one of a problem, or with a `teacher` its solution and another.

    A pair whose sides are equal says nothing and is left out, which is told. Raises ArtifactError where fewer than
    `least` are left.
    """
    best = {example.prompt: example.completion for example in teacher or ()}
    problems, equal = [], 0
    for rows in _finished(path):
        if teacher is None:
            chosen, rejected = (
                list(dict.fromkeys(r.completion for r in rows if r.right == side)) for side in (True, False)
            )
            pairs = list(zip(chosen, rejected, strict=False))
        else:
            better = [best[row.prompt] for row in rows[:1] if row.prompt in best]
            pairs = [(side, other) for side in better for other in dict.fromkeys(row.completion for row in rows)]
        problems.append([Pair(rows[0].prompt, *pair) for pair in pairs if pair[0] != pair[1]] if rows else [])
        equal += sum(a == b for a, b in pairs)
    if equal:
        print(f"{path}: {equal} pairs left out whose two sides are equal", file=sys.stderr)
    found = list(_in_turn(problems))
    if len(found) < least:
        told = f", {equal} more have equal sides" if equal else ""
        what = f"makes {len(found)} pairs of {len(problems)} problems{told}, expected at least {least}"
        remedy = "pairs need problems that the writer solves sometimes: take more `prompts` or `per_prompt`"
        raise ArtifactError(path, what, remedy)
    return found


def _finished(path: Path) -> Iterator[list[Trajectory]]:
    """Per problem, its solutions that ended by themselves."""
    for _, rows in groupby(read_rows(path, Trajectory), key=lambda row: (row.prompt, row.answer)):
        yield [row for row in rows if row.finished]


def _in_turn(problems: Sequence[list]) -> Iterator:
    """The first of every problem, then the second of every problem, ..."""
    return (one for turn in zip_longest(*problems) for one in turn if one is not None)
