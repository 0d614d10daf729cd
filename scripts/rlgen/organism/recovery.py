"""Does a procedure's set point along the planted direction? (docs/method.md, figure 8)

What a set adds on average, and what random sets add, is in `rlgen.interventions.mean_change`.
"""

import numpy as np
import pandas as pd

from rlgen.activations.completions import Completions
from rlgen.interventions.controls import mean_shift, sample_means
from rlgen.interventions.mean_change import (
    DRAWS,
    Direction,
    Exchange,
    Found,
    bootstrap_means,
    carried,
    cosine,
    measured,
)
from rlgen.names import Readout
from rlgen.seeds import stream_seed
from rlgen.strict import Strict
from rlgen.tables import ROLE_MEAN

COLUMNS = ["seed", "procedure", "quantity", "task", "value", "lo", "hi", "chance_lo", "chance", "chance_hi", "p"]


class MeasureRecovery(Strict):
    """Settings of comparing every procedure's set with the planted direction."""

    seed: int
    threads: int
    procedures: list[str]
    readouts: list[Readout]


def shift_direction(completions: Completions, role: str, rng: np.random.Generator) -> Direction:
    """Mean shift of the tuned model on the tasks of one role, the dictionary-free rival; chance: random directions."""
    kept = completions.of_role(role)
    reference_Nd, tuned_Nd = completions.reference_Nd[kept], completions.tuned_Nd[kept]
    sample_N = completions.sample_N[kept]
    shift_Kd = sample_means(tuned_Nd - reference_Nd, sample_N).numpy()
    vector_d = mean_shift(reference_Nd, tuned_Nd, sample_N).double().numpy()
    return Direction(vector_d, bootstrap_means(shift_Kd, rng), rng.standard_normal((DRAWS, len(vector_d))))


def alignment(name: str, direction: Direction, truth_d: np.ndarray) -> dict[str, object]:
    """The row of the cosine with the planted direction."""
    names = {"procedure": name, "quantity": "cosine", "task": ROLE_MEAN}
    return measured(names, direction, lambda rows_Rd: cosine(rows_Rd, truth_d))


def _set_rows(
    name: str, exchange: Exchange, completions: Completions, truth_d: np.ndarray, rng: np.random.Generator
) -> list[dict]:
    """All quantities of one set: on the selection tasks, and the share it carries of every task's own shift."""
    task_K = np.array([completions.tasks[task] for task in completions.sample_task_I])
    selection_K = completions.samples_of_role("selection")
    shift_Kd = sample_means(completions.tuned_Nd - completions.reference_Nd, completions.sample_N).double().numpy()
    random = exchange.random_sets(rng)
    direction = exchange.direction(selection_K, random, rng)
    rows = [alignment(name, direction, truth_d)]
    places = {ROLE_MEAN: selection_K} | {task: task_K == task for task in completions.tasks}
    for task, rows_K in places.items():
        own = direction if task == ROLE_MEAN else exchange.direction(rows_K, random, rng)
        names, shift_d = {"procedure": name, "quantity": "carried_share", "task": task}, shift_Kd[rows_K].mean(0)
        rows.append(measured(names, own, lambda rows_Rd, shift_d=shift_d: carried(rows_Rd, shift_d)))
    return rows


def recovery_table(truth_d: np.ndarray, sets: dict[str, tuple[Found, Completions]], seed: int) -> pd.DataFrame:
    """All quantities of one seed. `sets`: procedure -> what it found, and the tuned model's completions.

    The first procedure's completions give the mean-shift rivals. An empty set has a size and nothing else.
    """
    rows = []
    for name, (found, completions) in sets.items():
        rng = np.random.default_rng(stream_seed(seed, "recovery", name))
        rows.append({"procedure": name, "quantity": "set_size", "task": ROLE_MEAN, "value": len(found.chosen.latents)})
        exchange = found.exchange(completions)
        if len(found.chosen.latents) and len(exchange.pool):
            rows += _set_rows(name, exchange, completions, truth_d, rng)
    rng = np.random.default_rng(stream_seed(seed, "recovery"))
    first = next(iter(sets.values()))[1]
    for role in ("selection", "in_domain"):
        rows.append(alignment(f"shift-{role}", shift_direction(first, role, rng), truth_d))
    return pd.DataFrame(rows).assign(seed=seed).reindex(columns=COLUMNS)
