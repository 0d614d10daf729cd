"""The teacher's trajectories: many completions per problem, in shards; of these, the ones with a right final answer.

Kept are completions that ended by themselves and whose final answer is the problem's (`rlgen.math_answers`). Of a
problem's accepted ones the first are kept, in the order in which they were drawn: a draw from what the teacher writes
when it is right. The shortest would teach another, terser teacher.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from rlgen.files import ArtifactError
from rlgen.samples import Example
from rlgen.settings.teacher import CollectTrajectories

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Problem:
    """One problem: the user's message, and its right answer."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Trajectory:
    """One completion that the teacher wrote; `tokens` in its own tokens."""

    prompt: str
    answer: str
    completion: str
    tokens: int
    finished: bool
    right: bool

    @property
    def accepted(self) -> bool:
        return self.finished and self.right


def read_problems(path: Path) -> list[Problem]:
    """The problems of a JSONL file. Raises ArtifactError naming a line without a prompt or an answer."""
    problems = list(_read(path, Problem))
    for number, problem in enumerate(problems, start=1):
        for field in ("prompt", "answer"):
            value = getattr(problem, field)
            if not isinstance(value, str) or not value.strip():
                raise ArtifactError(path, f"line {number}: {field} is {value!r}, expected some text", "mend the data")
    if not problems:
        raise ArtifactError(path, "holds no problems", "mend the data")
    return problems


def _read(path: Path, kind: type) -> Iterator:
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield kind(**json.loads(line))
                except (ValueError, TypeError) as error:
                    raise ArtifactError(path, f"line {number} is not a {kind.__name__} ({error})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(path, f"cannot be read ({error})") from error


@dataclass
class Collected:
    """What the shards hold: the training examples, and tokens and verdicts of all completions."""

    examples: list[Example]
    tokens: list[int]
    finished: list[bool]
    accepted: list[bool]
    solved: int  # problems with an accepted completion

    def report(self, problems: int) -> pd.DataFrame:
        """Rows of (measure, of, value): counts, shares, and quantiles of lengths in the teacher's tokens."""
        tokens, accepted = np.array(self.tokens), np.array(self.accepted)
        rows: list[tuple[str, str, float]] = [
            ("problems", "all", problems),
            ("completions", "all", len(tokens)),
            ("finished_share", "all", float(np.mean(self.finished))),
            ("accepted_share", "all", float(accepted.mean())),
            ("problems", "with an accepted completion", self.solved),
            ("completions", "kept", len(self.examples)),
        ]
        for name, lengths in (("accepted", tokens[accepted]), ("rejected", tokens[~accepted])):
            rows.append(("completions", name, len(lengths)))
            for quantile in QUANTILES if len(lengths) else ():
                rows.append((f"tokens_q{round(100 * quantile):02}", name, float(np.quantile(lengths, quantile))))
        return pd.DataFrame(rows, columns=["measure", "of", "value"])


def collect(problems: Sequence[Problem], shards: Sequence[Path], cfg: CollectTrajectories) -> Collected:
    """The accepted trajectories of all problems, in the problems' order, equal ones once.

    Raises ArtifactError for a shard that does not hold its problems' completions, and where not one was accepted.
    """
    if len(shards) != cfg.shards:
        raise ArtifactError(f"shards: {len(shards)} files (value {cfg.shards}), expected as many")
    rows_of = [(path, _read(path, Trajectory)) for path in shards]
    found = Collected([], [], [], [], 0)
    for place, problem in enumerate(problems):
        path, rows = rows_of[place % cfg.shards]
        mine = list(islice(rows, cfg.samples_per_prompt))
        if len(mine) < cfg.samples_per_prompt or any(
            (r.prompt, r.answer) != (problem.prompt, problem.answer) for r in mine
        ):
            raise ArtifactError(path, f"does not hold {cfg.samples_per_prompt} completions of problem {place}")
        found.tokens += [row.tokens for row in mine]
        found.finished += [row.finished for row in mine]
        found.accepted += [row.accepted for row in mine]
        found.solved += any(row.accepted for row in mine)
        found.examples += _kept(mine, cfg.keep_per_prompt)
    for path, rows in rows_of:
        if next(rows, None) is not None:
            raise ArtifactError(path, "holds more completions than there are problems")
    if not found.examples:
        raise ArtifactError(
            str(shards[0]), "not one completion was accepted", "look at its rows: prompts, answers, max_new_tokens"
        )
    return found


def _kept(rows: list[Trajectory], most: int) -> list[Example]:
    different = {row.completion: Example(row.prompt, row.completion, row.answer) for row in rows if row.accepted}
    return list(islice(different.values(), most))
