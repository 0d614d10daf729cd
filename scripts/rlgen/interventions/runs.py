"""Whole jobs of interventions: read what they need, run every state and edit, return one table."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from rlgen.activations.completions import Completions
from rlgen.files import read_parquet
from rlgen.interventions.controls import random_directions, role_shift
from rlgen.interventions.edits import VectorEdits
from rlgen.interventions.procedure import Chosen, ProcedureEffects, moves_away, own_dose, same_model
from rlgen.interventions.runner import Condition
from rlgen.interventions.settings import Intervening, Steering
from rlgen.interventions.subjects import Bench
from rlgen.seeds import stream_seed
from rlgen.tables import STEERING, UNEDITED

if TYPE_CHECKING:
    from rlgen.dictionaries.crosscoder import Crosscoder


COLUMNS = ["procedure", "state", "edit", "set", "form", "dose", "chosen", "task", "role", "half", "sample"]
COLUMNS += ["correct", "format_blind", "answer_logprob", "kl", "delta_norm"]
FACTS = ["procedure", "state", "edit", "set_size", "pool", "random_sets", "mean_jaccard", "effective", "size_ratio"]
FACTS += ["refused", "variance_explained", "refused_readout"]


def read_chosen(set_file: Path, features_file: Path) -> Chosen:
    """The procedure's set with what its rivals are made of."""
    found = json.loads(Path(set_file).read_text(encoding="utf-8"))
    features = read_parquet(features_file).sort_values("latent")
    return Chosen(
        np.array(sorted(found["latents"]), dtype=np.int64),
        np.array(sorted(found["noncritical"]), dtype=np.int64),
        features["alive"].to_numpy(),
        features["nrn_l1"].to_numpy(),
    )


def run_procedure(
    cfg: Intervening, crosscoder: "Crosscoder", chosen: Chosen, completions: Completions, bench: Bench
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every edit of every running state of one procedure, and one row of facts about the controls of each.

    What is not edited (an empty set, a readout that explains too little) has no rows in the first table and its reason
    in the second.
    """
    parts, facts = [], []
    for state, kinds in cfg.edits.items():
        goal = bench.goal(cfg.reference if moves_away(cfg, state) else cfg.tuned)
        effects = ProcedureEffects(cfg, crosscoder, chosen, completions, bench.runner(state), state, goal)
        for kind in kinds:
            rows, known = effects.run(kind)
            parts.append(rows)
            facts.append(known)
    return _ordered(parts), pd.DataFrame(facts).reindex(columns=FACTS)


def run_steering(cfg: Steering, truth_d: torch.Tensor | None, completions: Completions, bench: Bench) -> pd.DataFrame:
    """Dictionary-free edits of every state: none, planted truth and mean shifts over doses, random directions.

    Doses multiply a vector's own length; all point towards the target, and away from it in the target's own states.
    Where a study knows `headers`, prompts also run behind the one that asks for the goal, without an edit.
    """
    vectors = {f"shift-{role}": (role_shift(completions, role), cfg.doses) for role in ("selection", "in_domain")}
    if truth_d is not None:
        vectors = {"truth": (truth_d, cfg.truth_doses)} | vectors
    parts = [_steer_state(cfg, bench, state, vectors).assign(state=state) for state in cfg.states]
    return _ordered([part.assign(procedure=STEERING) for part in parts])


def _steer_state(
    cfg: Steering, bench: Bench, state: str, vectors: dict[str, tuple[torch.Tensor, list[float]]]
) -> pd.DataFrame:
    """All steering of one running state; random directions share the first vector's length and chosen dose.

    The unedited model answers everything; doses are chosen on the discovery half, curves are of the test half.
    """
    away = same_model(state, cfg.target)
    goal, runner = bench.goal(cfg.reference if away else cfg.target), bench.runner(state)
    choosing = [i for i, s in enumerate(bench.samples) if s.half == "discovery" and s.task in cfg.selection]
    test_half = [i for i, s in enumerate(bench.samples) if s.half == "test"]
    none = runner.run([Condition(UNEDITED, 0.0)], None, range(len(bench.samples)), goal)
    parts = [none.assign(edit=UNEDITED, chosen=True, delta_norm=0.0)]
    for name, (vector_d, doses) in vectors.items():
        conditions = [Condition(name, dose, {"delta_norm": dose * float(vector_d.norm())}) for dose in doses]
        edits = VectorEdits((-1.0 if away else 1.0) * torch.tensor(doses)[:, None] * vector_d)
        dose = own_dose(runner, edits, 1, doses, choosing, goal)
        curve = runner.run(conditions, edits, test_half, goal)
        parts.append(curve.assign(edit=name, chosen=curve["dose"] == dose))
    first = parts[1][parts[1]["chosen"]].iloc[0]
    rng = np.random.default_rng(stream_seed(cfg.seed, "steering-directions", state))
    random_Cd = random_directions(cfg.random_directions, runner.model.config.hidden_size, first["delta_norm"], rng)
    conditions = [Condition(f"direction-{i:02d}", first["dose"]) for i in range(len(random_Cd))]
    random = runner.run(conditions, VectorEdits(random_Cd), test_half)
    parts.append(random.assign(edit="direction", chosen=True, delta_norm=first["delta_norm"]))
    if cfg.headers:
        headed = bench.runner(state, cfg.headers["away" if away else "towards"])
        header = headed.run([Condition("header", 0.0)], None, test_half, goal)
        parts.append(header.assign(edit="header", chosen=True, delta_norm=np.nan))
    return pd.concat(parts, ignore_index=True).assign(form="own_dose")


def _ordered(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """One table with all columns, in the order the conditions ran."""
    table = (
        pd.concat([part for part in parts if len(part)], ignore_index=True) if any(map(len, parts)) else pd.DataFrame()
    )
    return table.reindex(columns=COLUMNS)
