"""Checks that need more than one field of a study: do its names name something, do its numbers fit together."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rlgen.behaviour.settings import BenchmarkEvaluation
from rlgen.dictionaries.settings import Dictionary
from rlgen.interventions.settings import Procedure
from rlgen.models.settings import Size
from rlgen.organism.families import FAMILIES, vocabulary
from rlgen.organism.settings import ContinuePretraining, Pretrain
from rlgen.sources.settings import ProblemSource, SourcedData
from rlgen.study.config import check_known, told
from rlgen.study.model_checks import model_problems, parent_problems
from rlgen.training.settings import DPO, SFT, Distil, Rewarded

if TYPE_CHECKING:
    from rlgen.study.config import Study


TAKEN = {  # names that a folder or a rule already has
    "models": ["completions", "teacher"],  # activations/seed0/completions, rule harvest_completions; models/teacher
    "procedures": ["steering", "truth", "recovery", "equivalence", "maps"],  # interventions/steering, sensitivity/maps
}


def problems(study: "Study") -> Iterator[str]:
    """Cross-field problems, each as `field: what is wrong, expected what`."""
    first = [*_family_problems(study)] if study.organism else []
    if unknown := first or [*_task_problems(study)][:1]:  # alone: half of what follows would ask for it, too
        yield from unknown
        return
    for field, names in TAKEN.items():
        for name in set(names) & set(getattr(study, field)):
            yield f"{field}.{name}: the name '{name}' is taken, expected another one"
    yield from parent_problems(study)
    for role, model in study.roles:
        if model is not None:
            yield from _unknown(f"roles.{role}", model, "model", study.models)
    yield from _distinct("roles", [model for _, model in study.roles if model is not None], "a model")
    yield from _organism_problems(study) if study.organism else _sourced_problems(study)
    if study.roles.reference in study.models and not any(True for _ in parent_problems(study)):
        size = study.architecture(study.roles.reference)
        blocks = size and (size.blocks if isinstance(size, Size) else size.layers)
        if blocks and study.stream.layer >= blocks:
            yield f"stream.layer: {study.stream.layer} is beyond the model, expected 0 to {blocks - 1}"
    yield from model_problems(study)
    yield from _relearning_problems(study)
    yield from _batch_problems(study)
    for name, entry in study.dictionaries.items():
        yield from _dictionary_problems(study, f"dictionaries.{name}", entry)
    for name, procedure in study.procedures.items():
        yield from _procedure_problems(study, f"procedures.{name}", procedure)
    for field in ("doses", "truth_doses"):
        yield from _dose_problems(f"interventions.{field}", getattr(study.interventions, field))
    yield from _published_problems(study) if study.published else ()
    recipe = study.features.course_recipe
    yield from _unknown("features.course_recipe", recipe, "recipe", study.recipes)
    if recipe in study.recipes:
        yield from _dynamics_problems(study, recipe)


def _family_problems(study: "Study") -> Iterator[str]:
    for name in study.data.families:
        for problem in _unknown("data.families", name, "family", FAMILIES):
            yield f"{problem}; a new one is added in scripts/rlgen/organism/families.py"


def _task_problems(study: "Study") -> Iterator[str]:
    """Tasks with a role must be known to the data, which is where one is added."""
    place = "data.families" if study.organism else "data.benchmarks"
    for role, tasks in study.tasks:
        for task in tasks:
            for problem in _unknown(f"tasks.{role}", task, "task", study.data.tasks):
                yield f"{problem}; a new one is added to {place}"


def _dynamics_problems(study: "Study", recipe: str) -> Iterator[str]:
    """The dictionaries that the dynamics read must be trained with their recipe."""
    try:
        read = [*study.courses().values(), *filter(None, [study.joint()])] if study.courses() else []
    except ValueError:  # an unknown state, told elsewhere
        return
    for name in read:
        if recipe not in study.dictionaries[name].recipes:
            yield (
                f"features.course_recipe: '{recipe}' is not trained for {name}, "
                f"expected one of {', '.join(study.dictionaries[name].recipes)}"
            )


def _unknown(field: str, name: str, what: str, known: Any) -> Iterator[str]:
    yield from told(field, check_known, name, what, known)


def _distinct(field: str, names: list[str], what: str) -> Iterator[str]:
    if len(set(names)) < len(names):
        yield f"{field}: {', '.join(names)} names {what} twice, expected distinct {what.split()[-1]}s"


def _organism_problems(study: "Study") -> Iterator[str]:
    """Of the organism's data, and of a study that mixes it with published models or data."""
    if not hasattr(study.stream, "sampled_models"):
        yield "stream.mix: the organism has no sources to mix, expected sampled_models"
        return
    if isinstance(study.evaluation, BenchmarkEvaluation):
        yield "evaluation.backend: only for benchmarks, expected none with data.kind organism"
        return
    for model in study.made_by("load"):
        yield f"models.{model}.method: load, expected a model that learns the organism's language"
    if not study.stream.sampled_models:
        yield "stream.sampled_models: names no model, expected at least one, whose norms filter the rows"
    yield from _distinct("stream.sampled_models", study.stream.sampled_models, "a model")
    for model in study.stream.sampled_models:
        yield from _unknown("stream.sampled_models", model, "model", study.models)
    families = study.data.families
    if len(set(families)) < len(families):
        yield f"data.families: {', '.join(families)} names a family twice, expected distinct families"
    marker, words = study.evaluation.answer_marker, vocabulary(families)
    if marker not in words:
        yield f"evaluation.answer_marker: '{marker}' is no word of the tasks, expected one of {' '.join(words)}"


def _sourced_problems(study: "Study") -> Iterator[str]:
    """Of published data and models."""
    if not hasattr(study.stream, "mix"):
        yield "stream.mix: missing, expected the sources that the token stream mixes and their shares"
        return
    if not isinstance(study.evaluation, BenchmarkEvaluation):
        yield "evaluation.backend: missing, expected transformers or vllm"
        return
    data = study.data
    for source in study.stream.mix:
        yield from _unknown("stream.mix", source, "source", data.sources)
        if isinstance(data.sources.get(source), ProblemSource):
            yield f"stream.mix: {source} holds problems, expected sources of text or conversations"
    for name, model in study.models.items():
        if isinstance(model, Pretrain | ContinuePretraining):
            yield f"models.{name}.method: {model.method} learns the organism's language, expected load, sft or grpo"
    training = [name for name, model in study.models.items() if isinstance(model, SFT | DPO | Rewarded | Distil)]
    if training and data.problems is None:
        yield f"data.problems: missing, expected a source of problems for {', '.join(training)} to train on"
    if data.problems is not None:
        yield from _unknown("data.problems", data.problems, "source", data.sources)
        if data.problems in data.sources and not isinstance(data.sources[data.problems], ProblemSource):
            yield f"data.problems: {data.problems} holds texts, expected a source with format.kind problem"
    for name, model in study.models.items():
        if isinstance(model, SFT) and model.style == "plain":
            yield f"models.{name}.style: plain is the organism's, expected teacher or source"
    learners = [n for n, model in study.models.items() if isinstance(model, SFT | DPO) and model.by_teacher]
    if _without_completions(data):
        if learners and data.teacher is None:
            yield f"data.teacher: missing, expected one, or a completion in {data.problems}'s format, for SFT to learn"
        by_source = [n for n in learners if isinstance(study.models[n], SFT) and study.models[n].style == "source"]
        for name in by_source if data.teacher else ():
            yield f"models.{name}.style: source, but the format of {data.problems} has no completion, expected one"
    left_out = study.interventions.leave_out
    for name in left_out:
        yield from _unknown("interventions.leave_out", name, "task", study.tasks.role_of())
    if set(study.tasks.selection) <= set(left_out):
        yield f"interventions.leave_out: {', '.join(left_out)}, expected a selection task to stay, which chooses doses"


def _without_completions(data: SourcedData) -> bool:
    """Whether the source of problems is known, and has nothing for SFT to learn."""
    source = data.sources.get(data.problems)
    return isinstance(source, ProblemSource) and source.format.completion is None


def _published_problems(study: "Study") -> Iterator[str]:
    """Published values must belong to models and tasks of the study, and be percentages."""
    published, tasks = study.published, study.tasks.role_of()
    changes = {"disable": published.disable, "amplify": published.amplify}
    for model, values in published.accuracy.items():
        yield from _unknown("published.accuracy", model, "model", study.models)
        yield from _percent_problems(f"published.accuracy.{model}", values, 0, tasks)
    for field, values in changes.items():
        yield from _percent_problems(f"published.{field}", values, -100, tasks)


def _percent_problems(field: str, values: dict[str, float], least: int, tasks: Any) -> Iterator[str]:
    for task, value in values.items():
        yield from _unknown(field, task, "task", tasks)
        if not least <= value <= 100:
            yield f"{field}.{task}: {value:g}, expected a number from {least} to 100"


def _dose_problems(field: str, doses: list[float]) -> Iterator[str]:
    if min(doses) <= 0 or len(set(doses)) < len(doses):
        yield f"{field}: {doses}, expected distinct numbers above 0"


def _bad_state(study: "Study", field: str, text: str) -> Iterator[str]:
    try:
        study.state(text)
    except ValueError as error:
        yield f"{field}: {error}"


def _batch_problems(study: "Study") -> Iterator[str]:
    training = study.stream.training_shards // study.stream.windows * study.stream.shard_rows
    used = {recipe for _, recipe in study.trained_dictionaries()}
    for name, recipe in study.recipes.items():
        if name in used and recipe.batch_rows > training:
            rows = f"{training} training rows of {'the stream' if study.stream.windows == 1 else 'a window'}"
            yield f"recipes.{name}.batch_rows: {recipe.batch_rows} exceeds the {rows}"


def _relearning_problems(study: "Study") -> Iterator[str]:
    """What is compared step by step must be models that SFT teaches, in one study no model twice."""
    for name in study.relearning:
        yield from _unknown("relearning", name, "model", study.models)
        if name in study.models and not isinstance(study.models[name], SFT):
            yield f"relearning: {name} comes by {study.models[name].method}, expected models of method sft"
    yield from _distinct("relearning", study.relearning, "a model")


def _dictionary_problems(study: "Study", field: str, entry: Dictionary) -> Iterator[str]:
    unknown = [p for member in entry.members for p in _bad_state(study, f"{field}.members", member)]
    yield from unknown
    if not unknown and study.roles.reference in study.models:
        states = [study.state(member) for member in entry.members]
        reference = study.state(study.roles.reference)
        if states[0] != reference:
            yield f"{field}.members: starts with {states[0]}, expected the reference {reference} first"
        if len(set(states)) < len(states):
            yield f"{field}.members: {', '.join(states)} names a state twice, expected distinct states"
    if entry.permute_shift and not entry.is_null:
        yield f"{field}.is_null: false, but a permuted shift is no model's, expected true"
    if entry.is_null and len(entry.members) != 2:
        yield f"{field}.is_null: reads {len(entry.members)} states, expected a pair"
    for recipe in entry.recipes:
        yield from _unknown(f"{field}.recipes", recipe, "recipe", study.recipes)
        if recipe in study.recipes and study.recipes[recipe].objective == "dedicated" and len(entry.members) != 2:
            yield f"{field}.recipes: {recipe} is dedicated, of {len(entry.members)} states, expected a pair"
    yield from _distinct(f"{field}.recipes", entry.recipes, "a recipe")


def _procedure_problems(study: "Study", field: str, procedure: Procedure) -> Iterator[str]:
    unknown = [p for state in procedure.edits for p in _bad_state(study, f"{field}.edits", state)]
    yield from unknown
    for state, kinds in procedure.edits.items():
        yield from _distinct(f"{field}.edits.{state}", kinds, "an edit")
    if not unknown and len({study.state(state) for state in procedure.edits}) < len(procedure.edits):
        yield f"{field}.edits: {', '.join(procedure.edits)} names a state twice, expected distinct states"
    for state in procedure.away:
        if procedure.edits.get(state) != ["exchange"]:
            yield f"{field}.away: {state}, expected states that edits exchange alone"
    yield from _cut_problems(field, procedure)
    yield from _unknown(f"{field}.dictionary", procedure.dictionary, "dictionary", study.dictionaries)
    entry = study.dictionaries.get(procedure.dictionary)
    if entry is None:
        return
    if procedure.recipe not in entry.recipes:
        expected = f"one of the dictionary's recipes {', '.join(entry.recipes)}"
        yield f"{field}.recipe: '{procedure.recipe}' is not trained for {procedure.dictionary}, expected {expected}"
    if len(entry.members) not in (2, 3):
        yield f"{field}.dictionary: {procedure.dictionary} reads {len(entry.members)} states, expected two or three"
    elif not list(_bad_state(study, field, entry.members[-1])) and "@" in study.label(entry.members[-1]):
        yield f"{field}.dictionary: {procedure.dictionary} ends with {entry.members[-1]}, expected a last checkpoint"


def _cut_problems(field: str, procedure: Procedure) -> Iterator[str]:
    """A number of features belongs to one cut, and scores that rank all tasks at once know no other."""
    if procedure.cut == "top" and procedure.cut_count is None:
        yield f"{field}.cut_count: missing, expected the number of features that cut 'top' keeps"
    if procedure.cut != "top" and procedure.cut_count is not None:
        yield f"{field}.cut_count: {procedure.cut_count} with cut '{procedure.cut}', expected none, or cut 'top'"
    if procedure.joint and procedure.cut != "top":
        yield f"{field}.cut: '{procedure.cut}' with score '{procedure.score}', expected 'top'"
