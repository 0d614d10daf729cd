"""Tables over prompts and over jobs: one column per condition, one row per prompt; many jobs' tables as one."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
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


def prompts_by_condition(rows: pd.DataFrame, condition: str, column: str) -> pd.DataFrame:
    """Float table of N prompts (sorted by `sample`) and C conditions (sorted).

    Raises ValueError where a condition lacks a prompt that another one answered, or answered it twice.
    """
    (prompt_R, prompts), (condition_R, conditions) = (
        pd.factorize(rows[key], sort=True) for key in ("sample", condition)
    )
    place_R = condition_R * len(prompts) + prompt_R
    if len(np.unique(place_R)) < len(rows):
        raise ValueError(f"{column}: a prompt is answered twice under one {condition}")
    if len(prompts) * len(conditions) != len(rows):
        raise ValueError(f"{column}: the conditions of {condition} were not run on the same prompts")
    wide_CN = np.empty(len(rows))
    wide_CN[place_R] = rows[column].astype(np.float64)
    index = pd.Index(prompts, name="sample")
    return pd.DataFrame(wide_CN.reshape(len(conditions), len(prompts)).T, index, pd.Index(conditions, name=condition))


def stacked(tables: Sequence[pd.DataFrame], labels: Iterable[dict[str, object]]) -> pd.DataFrame:
    """The tables of several jobs as one, each behind columns that say which job it is from."""
    parts = [
        pd.concat([pd.DataFrame(label, index=table.index), table.drop(columns=list(label), errors="ignore")], axis=1)
        for table, label in zip(tables, labels, strict=True)
    ]
    filled = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(filled, ignore_index=True)
