"""Tables over prompts and over jobs: one column per condition, one row per prompt; many jobs' tables as one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from rlgen.strict import Strict

METRICS = {
    "accuracy": "correct",
    "format_blind": "format_blind",
    "answer_logprob": "answer_logprob",
    "kl": "kl",
}  # name in summaries -> column of per-sample tables
ROLE_MEAN = "ALL"  # the `task` of a row that is the mean over the tasks of a role
STEERING = "steering"  # the `procedure` of rows of edits that need no dictionary, and of unedited models
UNEDITED = "none"  # the `edit` of rows of unedited models


class SummariseSeeds(Strict):
    """One table per seed."""

    seeds: list[int] = Field(min_length=1)


class Sibling(Strict):
    """Another study beside the main procedure of this one."""

    factor: str
    name: str
    study: str


class SummariseVariants(Strict):
    """One table per variant and seed, and one per sibling study."""

    variants: list[str] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    siblings: list[Sibling]


class SummariseDictionary(Strict):
    """One table per recipe and seed."""

    dictionary: str
    recipes: list[str] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)


@dataclass(frozen=True)
class Grid:
    """N prompts under C conditions, both sorted, and where each row of a table lies among them."""

    prompts: pd.Index
    conditions: pd.Index
    place_R: NDArray[np.int64]  # condition * N + prompt

    @classmethod
    def of(cls, rows: pd.DataFrame, condition: str) -> "Grid":
        """Raises ValueError where a condition lacks a prompt that another one answered, or answered it twice."""
        (prompt_R, prompts), (condition_R, conditions) = (
            pd.factorize(rows[key], sort=True) for key in ("sample", condition)
        )
        place_R = condition_R * len(prompts) + prompt_R
        if len(place_R) and np.bincount(place_R).max() > 1:
            raise ValueError(f"a prompt is answered twice under one {condition}")
        if len(prompts) * len(conditions) != len(rows):
            raise ValueError(f"the conditions of {condition} were not run on the same prompts")
        return cls(pd.Index(prompts, name="sample"), pd.Index(conditions, name=condition), place_R)

    def values(self, value_R: pd.Series) -> NDArray[np.float64]:
        """One column of the table, as floats (N, C)."""
        wide_CN = np.empty(len(self.place_R))
        wide_CN[self.place_R] = value_R.astype(np.float64)
        return wide_CN.reshape(len(self.conditions), len(self.prompts)).T


def prompts_by_condition(rows: pd.DataFrame, condition: str, column: str) -> pd.DataFrame:
    """One column of a table, as floats by prompt and condition; what `Grid.of` refuses is refused."""
    grid = Grid.of(rows, condition)
    return pd.DataFrame(grid.values(rows[column]), grid.prompts, grid.conditions)


def numbered(rows: pd.DataFrame, columns: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of each row's combination of columns, in order of appearance, and the first row of each number."""
    number_R = np.zeros(len(rows), dtype=np.int64)
    for column in columns:
        own_R, names = pd.factorize(rows[column], use_na_sentinel=False)
        number_R, _ = pd.factorize(number_R * len(names) + own_R)
    first = np.empty(number_R.max(initial=-1) + 1, dtype=np.int64)
    first[number_R[::-1]] = np.arange(len(rows))[::-1]  # of rows with one number the last that is written stays
    return number_R, first


def in_categories(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> list[pd.DataFrame]:
    """The tables with some columns of text as sorted categories, the same ones in all tables.

    Texts that millions of rows repeat are compared, grouped and sorted as small integers.
    """
    tables = [table.copy(deep=False) for table in tables]
    for column in columns:
        coded = [pd.factorize(table[column]) for table in tables]
        place = {name: i for i, name in enumerate(sorted({name for _, own in coded for name in own}))}
        for table, (code_R, own) in zip(tables, coded, strict=True):
            ranks = np.array([*(place[name] for name in own), -1])  # the last one for a missing text
            table[column] = pd.Categorical.from_codes(ranks[code_R], list(place))
    return tables


def stacked(tables: Sequence[pd.DataFrame], labels: Iterable[dict[str, object]]) -> pd.DataFrame:
    """The tables of several jobs as one, each behind columns that say which job it is from."""
    parts = [
        pd.concat([pd.DataFrame(label, index=table.index), table.drop(columns=list(label), errors="ignore")], axis=1)
        for table, label in zip(tables, labels, strict=True)
    ]
    filled = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(filled, ignore_index=True)
