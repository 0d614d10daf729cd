"""From variants to the recipes, dictionaries and procedures that the rules know: harvests and models are shared."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from rlgen.dictionaries.settings import Recipe
from rlgen.interventions.settings import Procedure
from rlgen.sensitivity.settings import Variant

if TYPE_CHECKING:
    from rlgen.study.config import Study

FIXED = ("dictionary", "recipe", "edits")  # of a procedure: what a variant's own fields or the main procedure say


class Refusal(NamedTuple):
    """Why a variant cannot be: where in the config, and pydantic's error or the reason in words."""

    place: tuple[str, ...]
    error: dict[str, Any] | str


def expand(study: "Study") -> tuple["Study", list[Refusal]]:
    """The study with a procedure per variant, and the recipe or the dictionary's further recipe that it needs.

    A study without variants comes back as it is. With refusals the study is the one that was given.
    """
    if study.variants is None:
        return study, []
    main = study.procedures.get(study.variants.procedure)
    if main is None or main.recipe not in study.recipes or main.dictionary not in study.dictionaries:
        if main is not None:  # told of the procedure itself
            return study, []
        words = f"unknown procedure '{study.variants.procedure}', expected one of {', '.join(study.procedures)}"
        return study, [Refusal(("variants", "procedure"), words)]
    refusals = [*_main_refusals(study, main), *_name_refusals(study)]
    recipes, procedures, added = dict(study.recipes), dict(study.procedures), {}
    for factor, variants in study.variants.factors.items():
        for name, variant in variants.items():
            place = ("variants", "factors", factor, name)
            recipe = _checked(refusals, place, _recipe, study.recipes[main.recipe], variant)
            procedure = _checked(refusals, place, _procedure, study, name, variant)
            if recipe is None or procedure is None:
                continue
            recipes[procedure.recipe], procedures[name] = recipe, procedure
            entry = study.dictionaries.get(procedure.dictionary)
            if entry and procedure.recipe not in entry.recipes:
                added.setdefault(procedure.dictionary, []).append(procedure.recipe)
    if refusals:
        return study, refusals
    dictionaries = {
        name: entry.model_copy(update={"recipes": [*entry.recipes, *dict.fromkeys(added.get(name, []))]})
        for name, entry in study.dictionaries.items()
    }
    parts = {"recipes": recipes, "dictionaries": dictionaries, "procedures": procedures}
    expanded = study.model_copy(update={name: dict(sorted(entries.items())) for name, entries in parts.items()})
    expanded.note_added({name: set(recipes) for name, recipes in added.items()})
    return expanded, []


def _checked(refusals: list[Refusal], place: tuple[str, ...], make: Callable, *arguments: Any) -> Any:
    """What `make` returns, or None and its refusals."""
    try:
        return make(*arguments)
    except ValidationError as error:
        part = "recipe" if make is _recipe else "procedure"
        refusals += [Refusal((*place, part, *map(str, e["loc"])), e) for e in error.errors()]
    except ValueError as error:
        refusals.append(Refusal(place, str(error)))
    return None


def _recipe(main: Recipe, variant: Variant) -> Recipe:
    """The recipe of a variant: the main one, where the variant does not change it."""
    recipe = Recipe.model_validate(main.model_dump() | variant.recipe)
    if variant.recipe and recipe == main:
        raise ValueError(f"recipe: {variant.change} is what the main procedure's recipe has, expected another value")
    return recipe


def _procedure(study: "Study", name: str, variant: Variant) -> Procedure:
    """The procedure of a variant, with the main one's edits of the reference and of the model it explains."""
    main = study.procedures[study.variants.procedure]
    if taken := [field for field in variant.procedure if field in FIXED]:
        raise ValueError(f"procedure.{taken[0]}: not a variant's to change, expected another field of a procedure")
    dictionary = variant.dictionary or main.dictionary
    if variant.dictionary:
        _check_dictionary(study, main.dictionary, dictionary)
    compared = {study.state(study.roles.reference), study.tuned_state(main.dictionary)}
    changed = main.model_dump() | variant.procedure | {"dictionary": dictionary}
    changed |= {"recipe": name if variant.recipe else main.recipe}
    changed["edits"] = {state: kinds for state, kinds in main.edits.items() if study.state(state) in compared}
    procedure = Procedure.model_validate(changed)
    if variant.procedure and procedure == main.model_copy(update={"edits": procedure.edits}):
        raise ValueError(f"procedure: {variant.change} is what the main procedure has, expected another value")
    return procedure


def _check_dictionary(study: "Study", main: str, other: str) -> None:
    if other not in study.dictionaries or other == main:
        known = ", ".join(name for name in study.dictionaries if name != main)
        raise ValueError(f"dictionary: '{other}' is no other dictionary, expected one of {known}")
    counts = [len(study.dictionaries[name].members) for name in (other, main)]
    if counts[0] != counts[1]:
        raise ValueError(f"dictionary: {other} reads {counts[0]} states, expected {counts[1]} as {main} does")
    ends = [study.tuned_state(name) for name in (other, main)]
    if ends[0] != ends[1]:
        raise ValueError(f"dictionary: {other} ends with {ends[0]}, expected {ends[1]} as {main} does")


def _main_refusals(study: "Study", main: Procedure) -> Iterator[Refusal]:
    """The page compares one edit per model."""
    try:
        made = {study.state(state): kinds for state, kinds in main.edits.items()}
        compared = [study.state(study.roles.reference), study.tuned_state(main.dictionary)]
    except ValueError:  # an unknown state, told of the procedure itself
        return
    for state in compared:
        if len(made.get(state, [])) > 1 or not made.get(compared[0]):
            kinds = ", ".join(made.get(state, [])) or "no edit"
            words = f"{study.variants.procedure} makes {kinds} in {study.label(state)}, expected one edit"
            yield Refusal(("variants", "procedure"), words)
            return


def _name_refusals(study: "Study") -> Iterator[Refusal]:
    """A variant's name becomes a recipe's, a procedure's and part of paths."""
    seen: set[str] = set()
    for factor, variants in study.variants.factors.items():
        for name in variants:
            place = ("variants", "factors", factor, name)
            if name in study.procedures or name in study.recipes or name in seen:
                yield Refusal(place, f"the name '{name}' is taken, expected another one")
            seen.add(name)
