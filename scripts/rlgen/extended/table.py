"""Effects of varied sets with paired intervals: curves over sizes, areas under them, rotation. (docs/method.md, 12.)

Effects are changes of accuracy against the unedited model, prompt by prompt. A role's is the mean over its tasks.

Shapes: N prompts of a task, C conditions, D draws of the bootstrap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from rlgen.extended.settings import ALIVE
from rlgen.stats import Interval, task_mean_interval, task_resamples
from rlgen.strict import Strict
from rlgen.tables import ROLE_MEAN, UNEDITED, prompts_by_condition

CURVES = ["seed", "state", "role", "score", "size", "latents", "dose", "n", "effect", "lo", "hi", "gap"]
AREAS = ["seed", "state", "role", "score", "n", "area", "lo", "hi", "difference", "difference_lo", "difference_hi"]
ROTATION = ["seed", "state", "task", "n", "sets_in", "sets_out", "effect_in", "effect_out", "difference", "lo", "hi"]
HALF = "test"


class SummariseVaried(Strict):
    """The slice that `scripts/extended/summarise_varied.py` receives."""

    seeds: list[int] = Field(min_length=1)
    score: str = Field(description="the procedure's own score, which the others are set beside")
    reference: str
    tuned: str
    bootstrap: int = Field(ge=1)


@dataclass(frozen=True)
class Effects:
    """Per-prompt effects of one state: task -> (N, C), with one matrix of resamples and one gap per task."""

    rows: pd.DataFrame  # the state's answers, with a column `condition`
    conditions: list[str]
    effect_NC: dict[str, NDArray[np.float64]]
    weights_DN: dict[str, NDArray[np.float64]]
    gap: dict[str, float]

    @classmethod
    def of(cls, rows: pd.DataFrame, steering: pd.DataFrame, cfg: SummariseVaried, seed: int) -> "Effects":
        """`steering` holds the answers of the unedited models."""
        unedited = steering[(steering["edit"] == UNEDITED) & (steering["half"] == HALF)]
        [state] = rows["state"].unique()
        other = cfg.reference if state == cfg.tuned else cfg.tuned
        effects, weights, gaps = {}, {}, {}
        for task, some in rows.groupby("task", sort=False):
            wide = prompts_by_condition(some, "condition", "correct")
            before_N, after_N = (_answers(unedited, model, task, wide.index) for model in (state, other))
            effects[task] = wide.to_numpy() - before_N[:, None]
            weights[task] = task_resamples(len(wide), cfg.bootstrap, seed, task, HALF, "half")
            gaps[task] = float(after_N.mean() - before_N.mean())
        return cls(rows, list(wide.columns), effects, weights, gaps)

    def facts(self, columns: Sequence[str]) -> pd.DataFrame:
        """What is the same in all answers under a condition, one row per condition."""
        return self.rows.groupby("condition")[list(columns)].first().loc[self.conditions]

    def roles(self) -> dict[str, list[str]]:
        """Tasks by role."""
        tasks = self.rows.groupby("role", sort=False)["task"]
        return {role: list(dict.fromkeys(some)) for role, some in tasks}

    def mean(self, tasks: Sequence[str], mix_CK: NDArray) -> Interval:
        """Mean over tasks of weighted sums of conditions, each with its interval; `mix_CK`: conditions to columns."""
        return task_mean_interval([self.effect_NC[t] @ mix_CK for t in tasks], [self.weights_DN[t] for t in tasks])

    def n(self, tasks: Sequence[str]) -> int:
        """Prompts of some tasks."""
        return sum(len(self.effect_NC[task]) for task in tasks)


def _answers(unedited: pd.DataFrame, state: str, task: str, prompts: pd.Index) -> NDArray[np.float64]:
    rows = unedited[(unedited["state"] == state) & (unedited["task"] == task)].set_index("sample")["correct"]
    found_N = rows.astype(float).reindex(prompts).to_numpy()
    if np.isnan(found_N).any():
        raise ValueError(f"{state} was not run unedited on all prompts of {task}")
    return found_N


def varied_tables(
    rows: pd.DataFrame, steering: pd.DataFrame, cfg: SummariseVaried, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """CURVES, AREAS and ROTATION of one seed, from answers under varied sets and of unedited models."""
    sizes, rotations = (
        {state: Effects.of(own, steering, cfg, seed) for state, own in _states(rows, kind)}
        for kind in ("size", "rotation")
    )
    return curves(sizes, seed), areas(sizes, cfg.score, seed), rotation(rotations, seed)


def curves(by_state: Mapping[str, Effects], seed: int) -> pd.DataFrame:
    """CURVES: one row per state, role, score and size; `gap`: what the whole way to the other model would change."""
    found = []
    for state, effects in by_state.items():
        facts = effects.facts(["score", "size", "latents", "dose"])
        for role, tasks in effects.roles().items():
            interval = effects.mean(tasks, np.eye(len(facts)))
            table = facts.assign(effect=interval.value, lo=interval.lo, hi=interval.hi)
            gap = float(np.mean([effects.gap[task] for task in tasks]))
            found.append(table.assign(seed=seed, state=state, role=role, n=effects.n(tasks), gap=gap))
    return _table(found, CURVES).sort_values(["state", "role", "score", "size"], ignore_index=True)


def areas(by_state: Mapping[str, Effects], own_score: str, seed: int) -> pd.DataFrame:
    """AREAS: mean effect over the logarithm of the size, and its paired difference from the procedure's own score.

    No differences where the own score ranks no latent of a state and so has no set.
    """
    found = []
    for state, effects in by_state.items():
        facts = effects.facts(["score", "size"])
        mixes = {score: area_weights(facts, score) for score in facts["score"].unique() if score != ALIVE}
        mine_C = mixes.get(own_score)
        for role, tasks in effects.roles().items():
            for score, mix_C in mixes.items():
                columns = [mix_C] if mine_C is None else [mix_C, mix_C - mine_C]
                value, lo, hi = (x.tolist() for x in effects.mean(tasks, np.stack(columns, axis=1)))
                row = {"score": score, "area": value[0], "lo": lo[0], "hi": hi[0], "n": effects.n(tasks)}
                if mine_C is not None:
                    row |= {"difference": value[1], "difference_lo": lo[1], "difference_hi": hi[1]}
                found.append(pd.DataFrame([row | {"seed": seed, "state": state, "role": role}], columns=AREAS))
    return _table(found, AREAS)


def area_weights(facts: pd.DataFrame, score: str) -> NDArray[np.float64]:
    """Weights (C,) of one score's conditions in the mean over log2 of the size, by the trapezoid rule.

    `facts` has a row per condition with score and size. One size alone is its own mean.
    """
    weight_C = np.zeros(len(facts))
    places = np.flatnonzero((facts["score"] == score).to_numpy())
    places = places[np.argsort(facts["size"].to_numpy()[places])]
    at = np.log2(facts["size"].to_numpy()[places].astype(float))
    if len(places) == 1:
        weight_C[places] = 1.0
        return weight_C
    half = np.diff(at) / 2 / (at[-1] - at[0])
    weight_C[places[:-1]] += half
    weight_C[places[1:]] += half
    return weight_C


def rotation(by_state: Mapping[str, Effects], seed: int) -> pd.DataFrame:
    """ROTATION: a task's effect under sets that it had a say in, and under sets that it had none in, paired."""
    found = []
    for state, effects in by_state.items():
        out_of = [set(names.split()) for names in effects.facts(["left_out"])["left_out"]]
        rotating = [task for task in effects.effect_NC if any(task in out for out in out_of)]
        inside, outside = {}, {}
        for task in rotating:
            is_out_C = np.array([task in out for out in out_of])
            inside[task], outside[task] = (mask_C / mask_C.sum() for mask_C in (~is_out_C, is_out_C))
        for name, tasks in [*((task, [task]) for task in rotating), (ROLE_MEAN, rotating)]:
            columns = [
                effects.effect_NC[t] @ np.stack([inside[t], outside[t], outside[t] - inside[t]], 1) for t in tasks
            ]
            value, lo, hi = task_mean_interval(columns, [effects.weights_DN[t] for t in tasks])
            row = {"task": name, "n": effects.n(tasks), "difference": value[2], "lo": lo[2], "hi": hi[2]}
            row |= {"effect_in": value[0], "effect_out": value[1]}
            row |= {"sets_out": int((outside[tasks[0]] > 0).sum()), "sets_in": int((inside[tasks[0]] > 0).sum())}
            found.append(pd.DataFrame([row | {"seed": seed, "state": state}]))
    return _table(found, ROTATION)


def _states(rows: pd.DataFrame, kind: str) -> list[tuple[str, pd.DataFrame]]:
    """The rows of one kind, state by state, with their condition."""
    own = rows[(rows["kind"] == kind) & (rows["half"] == HALF)]
    own = own.assign(condition=own["score"] + " " + own["size"].astype(str) + " " + own["left_out"])
    return [(state, some) for state, some in own.groupby("state", sort=False)]


def _table(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
