"""Accuracy of every model state per task and role, with bootstrap intervals over prompts (docs/method.md, 2)."""

import pandas as pd
from pydantic import Field

from rlgen.stats import Interval, mean_interval, task_mean_interval, task_resamples
from rlgen.strict import Strict
from rlgen.tables import METRICS, ROLE_MEAN, prompts_by_condition

COLUMNS = ["model", "state", "checkpoint", "steps_share", "seed", "role", "task", "half", "n", "metric"]


class SummariseBehaviour(Strict):
    """One table per model, seed and group of tasks."""

    models: list[str] = Field(min_length=1)
    trained: list[str] = Field(description="models that the study trains: only they have curves")
    seeds: list[int] = Field(min_length=1)
    groups: list[str] = Field(min_length=1)
    bootstrap: int = Field(ge=1, description="draws per interval")


COLUMNS += ["value", "lo", "hi"]


CURVE_COLUMNS = ["model", "seed", "step", "metric", "value"]
MEASURED = {metric: column for metric, column in METRICS.items() if metric != "kl"} | {
    "strict": "strict",  # answers in the one form that the task asks for, where it names one
    "own_format": "own_format",  # steps after right ones, in the task's own format
    "guess": "guess",  # always the commonest answer
    "own_format_guess": "own_format_guess",  # always the commonest step
}  # name in summaries -> column of per-sample tables; a study's tables may lack some


def accuracy_table(rows: pd.DataFrame, seed: int, draws: int) -> pd.DataFrame:
    """Summary of one model's per-sample rows in one seed: one row per state, task (or role mean), half and metric.

    `rows` holds model, state, checkpoint, steps_share, role, task, half, sample and the metrics' columns, of benchmarks
    neither the format-blind one nor those of steps and guesses. Prompts are resampled within a task, with the same
    draws for all models and states of a seed; tasks weigh the same in a mean.
    """
    states = rows[["model", "state", "checkpoint", "steps_share"]].drop_duplicates().sort_values("checkpoint")
    measured, parts = {metric: column for metric, column in MEASURED.items() if column in rows}, []
    for (role, half), cell in rows.groupby(["role", "half"], sort=False):
        tasks = {task: group for task, group in cell.groupby("task", sort=False)}
        weights_DN = [
            task_resamples(group["sample"].nunique(), draws, seed, task, half) for task, group in tasks.items()
        ]
        for metric, column in measured.items():
            if cell[column].isna().any():
                continue  # not every task of the role has this reading
            values_NC = [prompts_by_condition(group, "checkpoint", column).to_numpy() for group in tasks.values()]
            names = {"seed": seed, "role": role, "half": half, "metric": metric}
            for task, v_NC, w_DN in zip(tasks, values_NC, weights_DN, strict=True):
                parts.append(_rows(states, names | {"task": task, "n": len(v_NC)}, mean_interval(v_NC, w_DN)))
            names |= {"task": ROLE_MEAN, "n": sum(map(len, values_NC))}
            parts.append(_rows(states, names, task_mean_interval(values_NC, weights_DN)))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _rows(states: pd.DataFrame, names: dict[str, object], interval: Interval) -> pd.DataFrame:
    return states.assign(**names, value=interval.value, lo=interval.lo, hi=interval.hi)
