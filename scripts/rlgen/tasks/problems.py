"""Published problems as training examples."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from rlgen.files import ArtifactError, read_rows
from rlgen.seeds import stream_seed
from rlgen.strict import Strict
from rlgen.tasks.samples import Example


class DrawProblems(Strict):
    """The slice that `scripts/data/draw_problems.py` receives."""

    seed: int = Field(ge=0)
    examples: int = Field(ge=1, description="as many as the longest training takes")
    completions: bool = Field(description="whether some model learns from completions (SFT)")


@dataclass(frozen=True)
class Problem:
    """One problem: the user's message, its right answer, and a solution to learn from where the source has one."""

    prompt: str
    answer: str
    completion: str | None = None


def read_problems(path: Path) -> list[Problem]:
    """The problems of a JSONL file; other fields of its rows are left alone.

    Raises ArtifactError naming a line without a prompt or an answer, and for a file without lines.
    """
    problems = list(read_rows(path, _problem))
    if not problems:
        raise ArtifactError(path, "holds no problems", "mend the data")
    return problems


def _problem(**row) -> Problem:
    for field in ("prompt", "answer"):
        if not isinstance(row.get(field), str) or not row[field].strip():
            raise ValueError(f"{field} is {row.get(field)!r}, expected some text")
    return Problem(row["prompt"], row["answer"], row.get("completion"))


def drawn(path: Path, n: int, completions: bool, seed: int) -> list[Example]:
    """`n` problems of a file with rows {prompt, answer[, completion]}, drawn without repetition, in random order.

    Raises ArtifactError where the file holds fewer, or where `completions` are needed (SFT) and a row has none.
    """
    rows = read_problems(path)
    if len(rows) < n:
        remedy = "lower the models' examples or prompts, or take more rows of the source"
        raise ArtifactError(path, f"holds {len(rows)} problems, {n} are needed", remedy)
    bare = sum(row.completion is None for row in rows)
    if completions and bare:
        remedy = "give the source's format a `completion`, or the study a `teacher`"
        raise ArtifactError(path, f"{bare} of {len(rows)} problems have no completion for SFT to learn", remedy)
    order = np.random.default_rng(stream_seed(seed, "problems")).permutation(len(rows))[:n]
    return [Example(rows[i].prompt, rows[i].completion or "", rows[i].answer) for i in order]
