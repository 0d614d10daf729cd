"""One of a procedure's sets, or a rival, as an edit that needs no dictionary, at its own dose (docs/method.md, 14).

Sets are those of the procedure's job of interventions, drawn again from the same seeds; doses are the ones that it
chose, by the same criterion for all, and its table says them.
"""

from typing import TYPE_CHECKING

import pandas as pd
import torch

from rlgen.activations.completions import Completions
from rlgen.files import ArtifactError
from rlgen.interventions.edits import VectorEdits
from rlgen.interventions.procedure import Chosen, ProcedureEffects
from rlgen.interventions.rivals import Mechanics, Rival
from rlgen.interventions.subjects import Bench, ExportEdit
from rlgen.models.fixed_edits import LATENTS, VECTOR, FixedEdit

if TYPE_CHECKING:
    from rlgen.dictionaries.crosscoder import Crosscoder
    from rlgen.interventions.benchmarks import ExportEditBenchmarks

KIND = "exchange"


def export_edit(
    cfg: "ExportEdit | ExportEditBenchmarks",
    crosscoder: "Crosscoder",
    chosen: Chosen,
    completions: Completions,
    bench: Bench,
    table: pd.DataFrame,
) -> FixedEdit:
    """The edit of the reference by the set that the settings name; see `fixed_edit`."""
    runner, goal = bench.runner(cfg.reference), bench.goal(cfg.tuned)
    effects = ProcedureEffects(cfg, crosscoder, chosen, completions, runner, cfg.reference, goal)
    return fixed_edit(effects, table, cfg.set)


def fixed_edit(effects: ProcedureEffects, table: pd.DataFrame, name: str) -> FixedEdit:
    """What exchanging a set, or adding a rival's vector, adds to the running model at its own dose.

    `table` is the procedure's table of interventions. Raises ArtifactError for a set that was not edited.
    """
    if effects.refused:
        raise ArtifactError(
            f"{effects.cfg.procedure}: {effects.refused}, so that no edit of {effects.state} can be trained towards; "
            "take another procedure, or leave the models that aim at it out"
        )
    dose_of = own_doses(table, effects.state)
    mechanics, candidates = effects.mechanics(KIND), effects.candidates(KIND)
    selected = Rival("selected", candidates.latents)
    length = dose_of["selected"] * mechanics.lengths([selected], effects.stream_Nd)[0]
    rivals = [selected, *effects.rivals(KIND, candidates, effects.drawn(KIND, candidates), length)]
    named = {rival.name: rival for rival in rivals if rival.name in dose_of}
    if name not in named:
        raise ArtifactError(f"{effects.cfg.procedure}: no set {name}, expected one of {', '.join(named)}")
    tensors = tensors_of(mechanics, named[name], dose_of[name])
    return FixedEdit(tensors, effects.runner.layer, effects.runner.everywhere, dose_of[name], name)


def own_doses(table: pd.DataFrame, state: str) -> dict[str, float]:
    """Set -> the dose that was chosen for its exchange in a state."""
    rows = table[(table["state"] == state) & (table["edit"] == KIND) & (table["form"] == "own_dose") & table["chosen"]]
    return rows.groupby("set")["dose"].first().to_dict()


def tensors_of(mechanics: Mechanics, rival: Rival, dose: float) -> dict[str, torch.Tensor]:
    """What the edit is made of: the latents' readout and what each adds at this dose, or one vector."""
    edits = mechanics.edits([rival], [dose])
    if isinstance(edits, VectorEdits):
        return {VECTOR: edits.vector_Cd[0].float()}
    there = edits.on("cpu")
    direction_Fd = dose * there.direction_Fd
    if there.order_Cd is not None:
        direction_Fd = direction_Fd[:, there.order_Cd[0]] * there.sign_Cd[0]
    parts = (there.readout.W_dS, there.readout.b_S, there.floor_F, direction_Fd)
    return {name: tensor.float() for name, tensor in zip(LATENTS, parts, strict=True)}
