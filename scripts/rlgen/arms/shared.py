"""Do arms share what changed in them? Cosines of their mean shifts, and of what the sets chosen on them add.

A shift is of the residual stream on texts that the reference wrote; a set's change is what its exchange adds to the
reference on the texts of the arm that it was chosen on. All arms have one reference, so that directions can be
compared. (docs/method.md, section 13.)

Shapes: K samples, d width of the residual stream.
"""

from collections.abc import Iterator, Mapping
from itertools import permutations

import numpy as np
import pandas as pd

from rlgen.activations.completions import Completions
from rlgen.arms.settings import CompareArms
from rlgen.arms.table import Drifts, mean_shift
from rlgen.interventions.mean_change import Direction, Found, cosine, measured
from rlgen.seeds import stream_seed

SHIFT, CHANGE = "shift", "change"
COLUMNS = ["seed", "kind", "model", "other", "value", "lo", "hi", "chance_lo", "chance", "chance_hi", "p"]
Row = dict[str, object]
Sets = Mapping[tuple[str, int], tuple[Found, Completions]]  # model, seed -> the set chosen on it, and its answers


def shared_table(drifts: Drifts, sets: Sets, cfg: CompareArms) -> pd.DataFrame:
    """One row per seed, kind and ordered pair of arms: `value` is the cosine of `model` with `other`.

    `shift`: of the mean shifts at the last checkpoints. `change`: of what the sets add; lo and hi resample the samples
    of `model`, chance is random sets of as many of its latents against the set of `other` as it is.
    """
    rows = [row for seed in cfg.seeds for row in (*_shifts(drifts, seed, cfg), *_changes(sets, seed, cfg))]
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _shifts(drifts: Drifts, seed: int, cfg: CompareArms) -> Iterator[Row]:
    shift_of = {model: mean_shift(drifts[model, seed], last=True) for model, _ in cfg.arms}
    for model, other in permutations(shift_of, 2):
        named = {"seed": seed, "kind": SHIFT, "model": model, "other": other}
        yield named | {"value": float(cosine(shift_of[model][None], shift_of[other])[0])}


def _changes(sets: Sets, seed: int, cfg: CompareArms) -> Iterator[Row]:
    """Empty sets add nothing that could be compared and are left out."""
    directions = {model: direction_of(*sets[model, seed], seed, model) for model, _ in cfg.sets}
    for model, other in permutations([model for model, direction in directions.items() if direction], 2):
        named = {"seed": seed, "kind": CHANGE, "model": model, "other": other}
        other_d = directions[other].vector_d
        yield measured(named, directions[model], lambda rows_Rd, other_d=other_d: cosine(rows_Rd, other_d))


def direction_of(found: Found, completions: Completions, seed: int, model: str) -> Direction | None:
    """What a set adds to the reference on the arm's answers to selection tasks; None for an empty set."""
    if not len(found.chosen.latents):
        return None
    exchange = found.exchange(completions)
    rng = np.random.default_rng(stream_seed(seed, "arms", "shared", model))
    return exchange.direction(completions.samples_of_role("selection"), exchange.random_sets(rng), rng)
