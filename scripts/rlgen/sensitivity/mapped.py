"""What survives of a set's edit under a map of the whole stream that knows no dictionary (docs/method.md, section 11).

The reference is edited by h + dose * D(h) P: the whole map (P = 1), what lies in the span of the set's exchange
directions d_k^tuned - d_k^reference, what does not, and what lies in the spans of random sets of as many latents.

Shapes: K samples, S latents, d width of the residual stream.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from rlgen.activations.completions import Completions
from rlgen.activations.shards import Shards
from rlgen.dictionaries.encoders import OneSided
from rlgen.interventions.controls import sample_means
from rlgen.interventions.mean_change import Exchange, Found, cosine
from rlgen.interventions.procedure import FAMILY_PROMPTS, first_prompts, own_dose
from rlgen.interventions.runner import Condition, Goal, Runner
from rlgen.interventions.subjects import OrganismBench
from rlgen.seeds import stream_seed
from rlgen.sensitivity.settings import MainInside
from rlgen.sensitivity.shift_maps import Kind, MapEdits, explained, fit_map, projector
from rlgen.stats import task_mean_interval, task_resamples
from rlgen.tables import UNEDITED, prompts_by_condition

COLUMNS = ["seed", "map", "quantity", "part", "role", "dose", "value", "lo", "hi"]
COLUMNS += ["chance", "chance_lo", "chance_hi", "p"]
SPANS = 10  # random sets whose spans are edited by; they share one dose
HALF = "test"
Row = dict[str, object]


class MeasureMaps(MainInside):
    """The slice that `scripts/sensitivity/measure_maps.py` receives. `members`: reference, tuned."""

    members: list[str] = Field(min_length=2, max_length=2, description="states with explicit checkpoints, as 'rl@5'")
    doses: list[float]
    held_out_shards: int = Field(ge=1)
    bootstrap: int = Field(ge=1)
    kinds: list[Kind] = Field(min_length=1)
    units: int = Field(ge=1)
    steps: int = Field(ge=1)


def maps_table(
    cfg: MeasureMaps, shards: Shards, found: Found, completions: Completions, bench: OrganismBench
) -> pd.DataFrame:
    """COLUMNS: of every map what it explains, where it points, and what it and its parts do in the reference."""
    training, held_out = shards.split(cfg.held_out_shards)
    rows_N2d, judging_N2d = (shards.read(part).activations_NMd.float() for part in (training, held_out))
    exchange = found.exchange(completions)
    rng = np.random.default_rng(stream_seed(cfg.seed, "maps"))
    random = exchange.random_sets(rng) if len(exchange.latents) and len(exchange.pool) else []
    runner, goal, table = bench.runner(cfg.models[0]), bench.goal(cfg.models[1]), []
    for kind in cfg.kinds:
        shift = fit_map(kind, rows_N2d[:, 0], rows_N2d[:, 1], cfg.units, cfg.steps, cfg.seed)
        rows = [*_explained(shift, judging_N2d, completions), *_pointing(shift, exchange, random, completions)]
        rows += _effects(cfg, shift, exchange, random[:SPANS], runner, goal)
        table += [{"seed": cfg.seed, "map": kind} | row for row in rows]
    return pd.DataFrame(table).reindex(columns=COLUMNS)


def _explained(shift: OneSided, judging_N2d: torch.Tensor, completions: Completions) -> list[Row]:
    """Share of the shift's variance on held-out rows of the stream, and on answers to the selection tasks."""
    kept_N = completions.of_role("selection")
    task = explained(shift, completions.reference_Nd[kept_N], completions.tuned_Nd[kept_N])
    stream = explained(shift, judging_N2d[:, 0], judging_N2d[:, 1])
    found = {"stream": stream, "selection": task}
    return [{"quantity": "explained", "role": role, "value": value} for role, value in found.items()]


@torch.no_grad()
def _pointing(shift: OneSided, exchange: Exchange, random: Sequence[np.ndarray], completions: Completions) -> list[Row]:
    """Cosine of the map's mean change with the set's, and the share of its change in the span of the set.

    On answers to the selection tasks, mean over positions, then over samples. Chance: random sets of as many latents.
    """
    if not random:
        return []
    kept_N = completions.of_role("selection")
    made_Nd = shift.pre(completions.reference_Nd[kept_N])
    mean_d = sample_means(made_Nd, completions.sample_N[kept_N]).mean(0).numpy()
    mean_S = exchange.z_KS[completions.samples_of_role("selection")].mean(0)
    sets = [exchange.latents, *random]
    vectors_Rd = np.stack([mean_S[latents] @ exchange.value_Sd[latents] for latents in sets])
    square = made_Nd.double().square().sum()
    product_dd = made_Nd.T.double() @ made_Nd.double()
    spans = [projector(torch.from_numpy(exchange.value_Sd[latents])).double() for latents in sets]
    within_R = np.array([float((onto_dd * product_dd).sum() / square) for onto_dd in spans])
    return [
        {"quantity": name, "role": "selection"} | _beside_chance(found_R)
        for name, found_R in (("direction", cosine(vectors_Rd, mean_d)), ("within", within_R))
    ]


def _beside_chance(found_R: np.ndarray) -> Row:
    """The first value beside the range of the others, and the share of them that reach it, itself counted as one."""
    value, random_R = float(found_R[0]), found_R[1:]
    lo, middle, hi = np.quantile(random_R, [0.025, 0.5, 0.975])
    p = (1 + int((random_R >= value - 1e-12).sum())) / (1 + len(random_R))
    return {"value": value, "chance": middle, "chance_lo": lo, "chance_hi": hi, "p": p}


def parts_of(exchange: Exchange, random: Sequence[np.ndarray]) -> dict[str, list[torch.Tensor]]:
    """Part -> what it keeps of a change (d, d), several for a family; without a set the whole map alone."""
    whole_dd = torch.eye(exchange.value_Sd.shape[1])
    if not len(exchange.latents):
        return {"whole": [whole_dd]}
    on_dd = projector(torch.from_numpy(exchange.value_Sd[exchange.latents]))
    parts = {"whole": [whole_dd], "on": [on_dd], "without": [whole_dd - on_dd]}
    spans = [projector(torch.from_numpy(exchange.value_Sd[latents])) for latents in random]
    return parts | ({"random": spans} if spans else {})


def _effects(
    cfg: MeasureMaps,
    shift: OneSided,
    exchange: Exchange,
    random: Sequence[np.ndarray],
    runner: Runner,
    goal: Goal,
) -> list[Row]:
    """Change of accuracy under every part at its own dose, chosen on the discovery half, on the test half."""
    samples = runner.evaluator.samples
    choosing = first_prompts(samples, "discovery", FAMILY_PROMPTS, cfg.selection)
    test_half = [i for i, s in enumerate(samples) if s.half == HALF]
    plain = runner.run([Condition(UNEDITED, 0.0)], None, test_half)
    rows = []
    for part, kept in parts_of(exchange, random).items():
        every = [(onto_dd, dose) for onto_dd in kept for dose in cfg.doses]
        curve = MapEdits(shift, torch.stack([o for o, _ in every]), torch.tensor([dose for _, dose in every]))
        dose = own_dose(runner, curve, len(kept), cfg.doses, choosing, goal)
        conditions = [Condition(f"{part}-{i:02d}", dose) for i in range(len(kept))]
        edits = MapEdits(shift, torch.stack(kept), torch.full((len(kept),), dose))
        edited = runner.run(conditions, edits, test_half)
        for role, interval in changes(pd.concat([plain, edited]), cfg.seed, cfg.bootstrap).items():
            named = {"quantity": "effect", "part": part, "role": role, "dose": dose}
            rows.append(named | dict(zip(("value", "lo", "hi"), interval, strict=True)))
    return rows


def changes(rows: pd.DataFrame, seed: int, draws: int) -> dict[str, list[float]]:
    """Role -> mean change of accuracy with its paired interval: mean over a family, tasks alike, prompts resampled."""
    found = {}
    for role, of_role in rows.groupby("role", sort=False):
        differences, weights = [], []
        for task, cell in of_role.groupby("task", sort=False):
            wide = prompts_by_condition(cell, "set", "correct")
            before = wide.pop(UNEDITED)
            differences.append((wide.mean(axis=1) - before).to_numpy())
            weights.append(task_resamples(len(wide), draws, seed, task, HALF, "half"))
        found[role] = [float(number) for number in task_mean_interval(differences, weights)]
    return found
