"""Run every varied set inside generation, each at its own dose. (docs/method.md, section 12.)"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rlgen.behaviour.settings import Evaluation
from rlgen.extended.sets import VariedSet
from rlgen.extended.settings import VaryingSets
from rlgen.interventions.procedure import (
    FAMILY_PROMPTS,
    best_dose,
    first_prompts,
    member_of,
    readout_quality,
    same_model,
    too_little,
)
from rlgen.interventions.rivals import Mechanics, Rival
from rlgen.interventions.runner import Condition

if TYPE_CHECKING:
    from rlgen.behaviour.reading import BenchmarkGoal
    from rlgen.dictionaries.crosscoder import Crosscoder
    from rlgen.interventions.benchmarks import BenchmarkRunner
    from rlgen.interventions.runner import Goal, Runner
    from rlgen.interventions.subjects import Bench

COLUMNS = ["state", "kind", "score", "size", "latents", "left_out", "dose", "task", "role", "half", "sample", "correct"]


class VarySets(VaryingSets):
    """The slice that `scripts/extended/vary_sets.py` receives."""

    evaluation: Evaluation


def run_sets(cfg: VaryingSets, crosscoder: "Crosscoder", sets: Sequence[VariedSet], bench: "Bench") -> pd.DataFrame:
    """COLUMNS: answers of every state on the test half under every set's exchange, towards the other model."""
    parts = [_of_state(cfg, crosscoder, sets, bench, state) for state in cfg.models]
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)


def _of_state(
    cfg: VaryingSets, crosscoder: "Crosscoder", sets: Sequence[VariedSet], bench: "Bench", state: str
) -> pd.DataFrame:
    """One running model; without rows where the readout explains too little of it."""
    towards, runner = not same_model(state, cfg.tuned), bench.runner(state)
    goal = bench.goal(cfg.tuned if towards else cfg.reference)
    prompts = first_prompts(bench.samples, "discovery", FAMILY_PROMPTS, [*cfg.selection, *cfg.unseen])
    member = member_of(state, crosscoder.members)
    explained = readout_quality(crosscoder, runner.stream_on_goal(prompts, goal), member, cfg.readout)
    if reason := too_little(explained, cfg.readout_variance):
        print(f"{state} is not edited: the {reason}")
        return pd.DataFrame(columns=COLUMNS)
    mechanics = Mechanics(crosscoder, "exchange", member, cfg.readout, towards)
    doses = own_doses(runner, mechanics, sets, cfg.doses, prompts, goal)
    test_half = [i for i, s in enumerate(bench.samples) if s.half == "test"]
    once = {(one.latents, dose): one for one, dose in zip(sets, doses, strict=True)}  # scores agree on some sets
    conditions = [Condition(str(i), dose) for i, (_, dose) in enumerate(once)]
    edits = mechanics.edits([_edited(one) for one in once.values()], [dose for _, dose in once])
    rows = runner.run(conditions, edits, test_half)
    answers = dict(zip(once, (part for _, part in rows.groupby("set", sort=False)), strict=True))
    parts = [
        answers[one.latents, dose].assign(state=state, **_named(one, cfg))
        for one, dose in zip(sets, doses, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def own_doses(
    runner: "Runner | BenchmarkRunner",
    mechanics: Mechanics,
    sets: Sequence[VariedSet],
    doses: Sequence[float],
    prompts: Sequence[int],
    goal: "Goal | BenchmarkGoal",
) -> list[float]:
    """The dose of every set that brings the model closest to the goal on discovery prompts of the set's own tasks."""
    rivals = [_edited(one) for one in sets for _ in doses]
    kl_CI = runner.distances(len(rivals), mechanics.edits(rivals, list(doses) * len(sets)), prompts, goal)
    kl_NDI = kl_CI.reshape(len(sets), len(doses), len(prompts))
    tasks = [runner.evaluator.samples[i].task for i in prompts]
    found = []
    for one, kl_DI in zip(sets, kl_NDI, strict=True):
        own = [place for place, task in enumerate(tasks) if task in one.tasks]
        found.append(best_dose(kl_DI[:, own], [tasks[place] for place in own], doses))
    return found


def _edited(one: VariedSet) -> Rival:
    return Rival("varied", np.array(one.latents, dtype=np.int64))


def _named(one: VariedSet, cfg: VaryingSets) -> dict:
    """What a row says of its set."""
    out = [task for task in (*cfg.selection, *cfg.unseen) if task not in one.tasks]
    told = {"kind": one.kind, "score": one.score, "size": one.size, "latents": len(one.latents)}
    return told | {"left_out": " ".join(out) if one.kind == "rotation" else ""}
