"""Which dictionaries and recipes pages show, and what they call them."""

from rlgen.dictionaries.settings import Recipe
from rlgen.study.config import Study

OBJECTIVES = {
    "batchtopk": "BatchTopK",
    "l1": "L1",
    "shared_latents": "BatchTopK, shared latents",
    "dedicated": "BatchTopK, dedicated latents",
}


def pairs(study: Study) -> dict[str, str]:
    """Dictionaries over the reference and one other model, nulls apart -> the label of that model's state.

    The compared models come first.
    """
    entries = study.dictionaries.items()
    found = {name: study.label(d.members[-1]) for name, d in entries if len(d.members) == 2 and not d.is_null}
    return dict(sorted(found.items(), key=lambda pair: pair[1] not in compared(study)))


def arm_dictionaries(study: Study) -> dict[str, str]:
    """Dictionary over the reference and the end of an arm, by the recipe of the watched procedure -> that arm."""
    if study.arms is None or study.arms.watch is None:
        return {}
    recipe, ends = study.procedures[study.arms.watch].recipe, pairs(study)
    found = {}
    for arm, _ in study.arms.listed():
        own = [d for d in ends if study.tuned_state(d) == study.state(arm)]
        own = [d for d in own if recipe in study.dictionaries[d].recipes]
        found |= {own[0]: arm} if own else {}
    return found


def compared(study: Study) -> list[str]:
    """The models that are set beside each other: contrast and target."""
    return [m for m in (study.roles.contrast, study.roles.target) if m]


def shared_recipes(study: Study) -> list[str]:
    """Recipes that the pairs of all compared models are trained with, one row of fig2 each."""
    both = [name for name, model in pairs(study).items() if model in compared(study)]
    return [r for r in study.recipes if both and all(r in study.dictionaries[d].recipes for d in both)]


def nulls(study: Study) -> list[str]:
    """Dictionaries over two states that differ for no reason worth explaining, as the config says."""
    return [name for name, d in study.dictionaries.items() if d.is_null]


def titles(study: Study, recipes: list[str]) -> dict[str, str]:
    """Recipe -> what a page calls it."""
    return {name: _title(study.recipes[name]) for name in recipes}


def _title(recipe: Recipe) -> str:
    own = ", own normalisation" if recipe.normalisation == "per_model" else ""
    aligned = "" if recipe.alignment == "mse" else f", {recipe.alignment} alignment"
    return OBJECTIVES[recipe.objective] + own + aligned + ("" if recipe.encoder == "linear" else f", {recipe.encoder}")
