"""A procedure's sets and their rivals as edits that need no dictionary, each at its own dose (docs/method.md, 14).

The sets are those of the procedure's job of interventions, drawn again from the same seeds; doses are the ones that it
chose, by the same criterion for all, and its table says them.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from pydantic import Field

from rlgen.files import ArtifactError
from rlgen.interventions.edits import VectorEdits
from rlgen.interventions.procedure import ProcedureEffects
from rlgen.interventions.rivals import Mechanics, Rival
from rlgen.interventions.subjects import Intervene
from rlgen.models.fixed_edits import LATENTS, VECTOR, FixedEdit

KIND = "exchange"


class ExportEdits(Intervene):
    """The slice that `scripts/interventions/export_edits.py` receives."""

    sets: list[str] = Field(min_length=1, description="names in the procedure's table of interventions")


def fixed_edits(effects: ProcedureEffects, table: pd.DataFrame, sets: Sequence[str]) -> dict[str, FixedEdit]:
    """Set -> what exchanging it adds to the running model at its own dose.

    `table` is the procedure's table of interventions. Raises ArtifactError for sets that were not edited.
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
    if missing := [name for name in sets if name not in named]:
        known = ", ".join(named)
        raise ArtifactError(f"{effects.cfg.procedure}: no set {', '.join(missing)}, expected one of {known}")
    layer, everywhere = effects.runner.layer, effects.runner.everywhere
    return {
        name: FixedEdit(tensors_of(mechanics, named[name], dose_of[name]), layer, everywhere, dose_of[name], name)
        for name in sets
    }


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
    parts = (there.W_dF, there.bias_F, there.floor_F, direction_Fd)
    return {name: tensor.float() for name, tensor in zip(LATENTS, parts, strict=True)}
