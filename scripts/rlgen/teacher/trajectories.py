"""The teacher's trajectories: many completions per problem, in shards; of these, the ones with a right final answer.

Kept are completions that ended by themselves and whose final answer is the problem's (`rlgen.tasks.math_answers`). Of a
problem's accepted ones the first are kept, in the order in which they were drawn: a draw from what the teacher writes
when it is right. The shortest would teach another, terser teacher.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from rlgen.files import ArtifactError, read_rows
from rlgen.seeds import stream_seed
from rlgen.strict import Strict
from rlgen.tasks.samples import Example, Trajectory
from rlgen.teacher.settings import Teacher

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


class CollectTrajectories(Strict):
    """The slice that `scripts/data/collect_trajectories.py` receives."""

    seed: int = Field(ge=0)
    examples: int = Field(ge=1, description="as many as the longest training takes, at most")
    at_least: int = Field(ge=1, description="as many as every training needs")
    teacher: Teacher


@dataclass
class Collected:
    """What the shards hold: kept examples per problem, in the problems' order, and numbers of all completions."""

    kept: list[list[Example]]
    tokens: list[int]
    finished: list[bool]
    accepted: list[bool]

    def examples(self, at_least: int, seed: int) -> list[Example]:
        """The training examples: the problems in an order of the seed's own, their first examples before any second.

        So the first rows are different problems, whoever trains on how many. Raises ArtifactError for too few.
        """
        order = np.random.default_rng(stream_seed(seed, "problems")).permutation(len(self.kept))
        rounds = range(max(map(len, self.kept), default=0))
        found = [self.kept[place][i] for i in rounds for place in order if i < len(self.kept[place])]
        if len(found) < at_least:
            raise ArtifactError(
                f"data.teacher: {len(found)} completions of {len(self.kept)} problems kept, expected at least "
                f"{at_least}; take more problems, samples or tokens, or train on fewer"
            )
        return found

    def said(self, at_most: int) -> str:
        """One line: how many training examples there are, and how many the longest training takes."""
        kept = sum(map(len, self.kept))
        solved = f"{sum(map(bool, self.kept))} of {len(self.kept)} problems"
        return f"{kept} solutions of {solved} kept; SFT takes at most {at_most}, in whole steps"

    def report(self) -> pd.DataFrame:
        """Rows of (measure, of, value): counts, shares, and quantiles of lengths in the teacher's tokens."""
        tokens, accepted = np.array(self.tokens), np.array(self.accepted)
        rows: list[tuple[str, str, float]] = [
            ("problems", "all", len(self.kept)),
            ("problems", "with an accepted completion", sum(map(bool, self.kept))),
            ("completions", "all", len(tokens)),
            ("completions", "accepted", int(accepted.sum())),
            ("completions", "kept", sum(map(len, self.kept))),
            ("finished_share", "all", float(np.mean(self.finished))),
            ("accepted_share", "all", float(accepted.mean())),
        ]
        for name, lengths in (("accepted", tokens[accepted]), ("rejected", tokens[~accepted])):
            for quantile in QUANTILES if len(lengths) else ():
                rows.append((f"tokens_q{round(100 * quantile):02}", name, float(np.quantile(lengths, quantile))))
        return pd.DataFrame(rows, columns=["measure", "of", "value"])


def collect(shards: Sequence[Path], teacher: Teacher) -> Collected:
    """The accepted trajectories of all problems; equal completions of a problem count once.

    Shard i holds problems i, i + shards, ... Raises ArtifactError for one that does not hold as many completions of
    each of its problems as the teacher writes, or not as many problems as the others.
    """
    if len(shards) != teacher.shards:
        raise ArtifactError(f"shards: {len(shards)} files (value {teacher.shards}), expected as many files")
    found, waiting = Collected([], [], [], []), [(path, read_rows(path, Trajectory)) for path in shards]
    for place in count():
        path, rows = waiting[place % teacher.shards]
        mine = list(islice(rows, teacher.samples_per_prompt))
        if not mine:
            break
        if len(mine) < teacher.samples_per_prompt or len({(row.prompt, row.answer) for row in mine}) > 1:
            problem = f"does not hold {teacher.samples_per_prompt} completions of its problem {place // teacher.shards}"
            raise ArtifactError(path, problem)
        found.tokens += [row.tokens for row in mine]
        found.finished += [row.finished for row in mine]
        found.accepted += [row.accepted for row in mine]
        found.kept.append(_kept(mine, teacher.keep_per_prompt))
    for path, rows in waiting:
        if next(rows, None) is not None:
            raise ArtifactError(path, "holds more problems than the shard before it")
    if not found.kept:
        raise ArtifactError(shards[0], "holds no completions")
    return found


def _kept(rows: list[Trajectory], most: int) -> list[Example]:
    different = {row.completion: Example(row.prompt, row.completion, row.answer) for row in rows if row.accepted}
    return list(islice(different.values(), most))
