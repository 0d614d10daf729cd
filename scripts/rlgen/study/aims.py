"""Models that aim at a set of features: which edits they need, and whether these can be had."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rlgen.models.settings import Aim
from rlgen.study.config import check_known, told
from rlgen.training.settings import SFT, Distil

if TYPE_CHECKING:
    from rlgen.study.config import Model, Study

SETS = ("selected", "size", "noncritical", "nrn", "complement", "alive", "along", "rest")
VECTORS = ("shift-selection", "shift-in_domain")  # with `direction-NN`: they read nothing
DRAWN = {"random": "random_sets", "rotated": "random_sets", "direction": "random_directions"}  # family -> how many


def aim_of(model: "Model") -> Aim | None:
    """The edit that a model is distilled under or held to."""
    return getattr(model, "under", None) or getattr(model, "holds", None)


def aims(study: "Study") -> dict[str, Aim]:
    """Model -> its aim, of those that have one, by name."""
    return {name: aim for name, model in study.models.items() if (aim := aim_of(model))}


def aim_shown(study: "Study", name: str) -> dict[str, Any]:
    """What a model aims at, and how many completions it had been trained on at each checkpoint."""
    model, aim = study.models[name], aim_of(study.models[name])
    how = "" if aim is None else "under" if getattr(model, "under", None) else "holds"
    each = getattr(model, "sequences", None) or model.batch_size
    steps = [round(i * model.steps / model.checkpoints) for i in study.checkpoints(name)]
    return {"set": aim.set if aim else "", "how": how, "spent": [each * step for step in steps]}


def aim_problems(study: "Study") -> Iterator[str]:
    """Aims at no edit of the reference, or of a model that is not the reference."""
    for name, aim in aims(study).items():
        model = study.models[name]
        key = "under" if isinstance(model, Distil) else "holds"
        field = f"models.{name}.{key}"
        yield from told(f"{field}.procedure", check_known, aim.procedure, "procedure", study.procedures)
        yield from told(f"{field}.set", _check_set, study, aim.set, key == "holds")
        edited = model.teacher if isinstance(model, Distil) else model.parent
        if not _is_reference(study, edited):
            whose = f"models.{name}.{'teacher' if isinstance(model, Distil) else 'parent'}"
            yield f"{whose}: {edited}, expected the reference {study.roles.reference}: edits are of that model"
        if aim.procedure in study.procedures and not _edits_reference(study, aim.procedure):
            edits = f"procedures.{aim.procedure}.edits"
            yield f"{field}.procedure: {edits} lacks exchange in {study.roles.reference}, expected it there"
        if _bent(study, aim.procedure):
            yield f"{field}.procedure: {aim.procedure} reads by a bent encoder, expected a linear one to export"
        if isinstance(model, SFT) and model.scale and model.scale.gpus > 1:
            yield f"models.{name}.scale.gpus: {model.scale.gpus} with holds, expected 1: the parent lies beside it"


def _bent(study: "Study", procedure: str) -> bool:
    """Whether a procedure's dictionary has an encoder that an exported edit does not hold."""
    recipe = study.recipes.get(study.procedures[procedure].recipe) if procedure in study.procedures else None
    return recipe is not None and recipe.encoder != "linear"


def _edits_reference(study: "Study", procedure: str) -> bool:
    edits = study.procedures[procedure].edits
    return any("exchange" in kinds and _is_reference(study, state) for state, kinds in edits.items())


def _is_reference(study: "Study", state: str) -> bool:
    """Whether a state is the reference itself, not an earlier checkpoint of it; what is unknown is told elsewhere."""
    try:
        return study.state(state) == study.state(study.roles.reference)
    except ValueError:
        return True


def _check_set(study: "Study", name: str, reads: bool) -> None:
    """Raises ValueError for a set that no table of interventions has, or one that does not read the stream."""
    family, _, number = name.rpartition("-")
    drawn = re.fullmatch(r"\d{2,}", number) is not None and family in DRAWN
    if drawn and int(number) >= (most := getattr(study.interventions, DRAWN[family])):
        raise ValueError(
            f"{name}, but interventions.{DRAWN[family]}={most}, expected {family}-00 to {family}-{most - 1:02d}"
        )
    if not drawn and name not in (*SETS, *VECTORS):
        known = ", ".join((*SETS, *VECTORS, *(f"{family}-NN" for family in DRAWN)))
        raise ValueError(f"unknown set '{name}', expected one of {known}")
    if reads and (name in VECTORS or family == "direction"):
        raise ValueError(f"{name} is a vector and reads nothing, expected a set of latents")
