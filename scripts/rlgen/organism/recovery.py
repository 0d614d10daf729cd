"""Does a procedure's set point along the planted direction? (docs/method.md, figure 8)

What an edit adds on average is linear in the latents: sum_F E[f_k] v_k, with f_k the reference's readout on the tuned
model's completions and v_k what one unit of the latent adds. So every set, chosen or random, is one matrix product, and
what a set reaches always stands beside what random sets of as many latents reach.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rlgen.activations.completions import Completions
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.interventions.controls import mean_shift, sample_means
from rlgen.interventions.edits import directions
from rlgen.interventions.procedure import Chosen
from rlgen.names import Readout
from rlgen.seeds import stream_seed
from rlgen.strict import Strict
from rlgen.tables import ROLE_MEAN

DRAWS = 1000  # random sets of the chance range, and bootstrap draws over samples
EXCHANGE = "exchange"
COLUMNS = ["seed", "procedure", "quantity", "task", "value", "lo", "hi", "chance_lo", "chance", "chance_hi", "p"]


class MeasureRecovery(Strict):
    """Settings of comparing every procedure's set with the planted direction."""

    seed: int
    threads: int
    procedures: list[str]
    readouts: list[Readout]


@dataclass(frozen=True)
class Direction:
    """A mean direction with its bootstrap over samples, and the directions of random sets of the same size."""

    vector_d: np.ndarray
    bootstrap_Rd: np.ndarray
    random_Rd: np.ndarray


@dataclass(frozen=True)
class Exchange:
    """What exchanging latents adds to the reference, per sample: z_KS @ value_Sd, and the latents that chance draws."""

    z_KS: np.ndarray
    value_Sd: np.ndarray
    latents: np.ndarray
    pool: np.ndarray

    def direction(self, rows_K: np.ndarray, random: list[np.ndarray], rng: np.random.Generator) -> Direction:
        """Mean direction of the set over some samples, and of random sets on the same samples."""
        chosen_Kd = self.z_KS[rows_K][:, self.latents] @ self.value_Sd[self.latents]
        mean_S = self.z_KS[rows_K].mean(0)
        random_Rd = np.stack([mean_S[latents] @ self.value_Sd[latents] for latents in random])
        return Direction(chosen_Kd.mean(0), _bootstrap_means(chosen_Kd, rng), random_Rd)

    def random_sets(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Uniform draws of as many latents as the set has, from alive ones that may differ between the models."""
        size = min(len(self.latents), len(self.pool))
        return [rng.choice(self.pool, size, replace=False) for _ in range(DRAWS)]


def exchange_of(crosscoder: Crosscoder, chosen: Chosen, completions: Completions, readout: str) -> Exchange:
    """Reading the reference on every sample of the completions, in their order."""
    z_NS = crosscoder.encode_one(completions.reference_Nd, 0, readout)
    z_KS = sample_means(z_NS, completions.sample_N).numpy()
    value_Sd = directions(crosscoder, EXCHANGE, towards_tuned=True).double().numpy()
    pool = np.flatnonzero(chosen.alive_S & crosscoder.free_S.numpy())
    return Exchange(z_KS, value_Sd, chosen.latents, pool)


def cosine(a_Rd: np.ndarray, b_d: np.ndarray) -> np.ndarray:
    """Cosines of rows with one vector; 0 for a zero row."""
    norms = np.linalg.norm(a_Rd, axis=-1) * np.linalg.norm(b_d)
    return np.divide(a_Rd @ b_d, norms, out=np.zeros_like(norms), where=norms > 0)


def carried(a_Rd: np.ndarray, shift_d: np.ndarray) -> np.ndarray:
    """Share of a shift that rows carry: their projection on it over its length; beyond 1 they overshoot."""
    return a_Rd @ shift_d / (shift_d @ shift_d)


def _bootstrap_means(values_Kd: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means of DRAWS resamples of the rows, (DRAWS, d)."""
    k = len(values_Kd)
    return rng.multinomial(k, np.full(k, 1 / k), size=DRAWS) / k @ values_Kd


def shift_direction(completions: Completions, role: str, rng: np.random.Generator) -> Direction:
    """Mean shift of the tuned model on the tasks of one role, the dictionary-free rival; chance: random directions."""
    kept = completions.of_role(role)
    reference_Nd, tuned_Nd = completions.reference_Nd[kept], completions.tuned_Nd[kept]
    sample_N = completions.sample_N[kept]
    shift_Kd = sample_means(tuned_Nd - reference_Nd, sample_N).numpy()
    vector_d = mean_shift(reference_Nd, tuned_Nd, sample_N).double().numpy()
    return Direction(vector_d, _bootstrap_means(shift_Kd, rng), rng.standard_normal((DRAWS, len(vector_d))))


def measured(
    names: dict[str, str], direction: Direction, quantity: Callable[[np.ndarray], np.ndarray]
) -> dict[str, object]:
    """The row of a quantity of directions (R, d) -> (R,): its value, 95 % interval, and the range that chance reaches.

    chance: median of the random draws; chance_lo and chance_hi: 2.5 and 97.5 %; p: share of them that reach the value,
    which counts as one of them itself.
    """
    value, random_R = float(quantity(direction.vector_d[None])[0]), quantity(direction.random_Rd)
    lo, hi = np.quantile(quantity(direction.bootstrap_Rd), [0.025, 0.975])
    chance_lo, chance, chance_hi = np.quantile(random_R, [0.025, 0.5, 0.975])
    p = (1 + int((random_R >= value - 1e-12).sum())) / (1 + len(random_R))
    chances = {"chance_lo": chance_lo, "chance": chance, "chance_hi": chance_hi, "p": p}
    return names | {"value": value, "lo": lo, "hi": hi} | chances


def alignment(name: str, direction: Direction, truth_d: np.ndarray) -> dict[str, object]:
    """The row of the cosine with the planted direction."""
    names = {"procedure": name, "quantity": "cosine", "task": ROLE_MEAN}
    return measured(names, direction, lambda rows_Rd: cosine(rows_Rd, truth_d))


def _set_rows(
    name: str, exchange: Exchange, completions: Completions, truth_d: np.ndarray, rng: np.random.Generator
) -> list[dict]:
    """All quantities of one set: on the selection tasks, and the share it carries of every task's own shift."""
    task_K = [completions.tasks[task] for task in completions.sample_task_I]
    role_K = np.array([completions.role_of[task] for task in task_K])
    shift_Kd = sample_means(completions.tuned_Nd - completions.reference_Nd, completions.sample_N).double().numpy()
    random = exchange.random_sets(rng)
    direction = exchange.direction(role_K == "selection", random, rng)
    rows = [alignment(name, direction, truth_d)]
    places = {ROLE_MEAN: role_K == "selection"} | {task: np.array(task_K) == task for task in completions.tasks}
    for task, rows_K in places.items():
        own = direction if task == ROLE_MEAN else exchange.direction(rows_K, random, rng)
        names, shift_d = {"procedure": name, "quantity": "carried_share", "task": task}, shift_Kd[rows_K].mean(0)
        rows.append(measured(names, own, lambda rows_Rd, shift_d=shift_d: carried(rows_Rd, shift_d)))
    return rows


def recovery_table(
    truth_d: np.ndarray, sets: dict[str, tuple[Crosscoder, Chosen, Completions, str]], seed: int
) -> pd.DataFrame:
    """All quantities of one seed. `sets`: procedure -> dictionary, set, completions, readout.

    The first procedure's completions give the mean-shift rivals. An empty set has a size and nothing else.
    """
    rows = []
    for name, (crosscoder, chosen, completions, readout) in sets.items():
        rng = np.random.default_rng(stream_seed(seed, "recovery", name))
        rows.append({"procedure": name, "quantity": "set_size", "task": ROLE_MEAN, "value": len(chosen.latents)})
        exchange = exchange_of(crosscoder, chosen, completions, readout)
        if len(chosen.latents) and len(exchange.pool):
            rows += _set_rows(name, exchange, completions, truth_d, rng)
    rng = np.random.default_rng(stream_seed(seed, "recovery"))
    first = next(iter(sets.values()))[2]
    for role in ("selection", "in_domain"):
        rows.append(alignment(f"shift-{role}", shift_direction(first, role, rng), truth_d))
    return pd.DataFrame(rows).assign(seed=seed).reindex(columns=COLUMNS)
