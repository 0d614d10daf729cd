"""Checks of a study's models: what each is made from, and whether its settings fit together."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rlgen.organism.families import vocabulary
from rlgen.organism.settings import Pretrain
from rlgen.study.aims import aim_of, aim_problems
from rlgen.study.config import check_known, told
from rlgen.training.settings import DPO, SFT, Distil, Rewarded

if TYPE_CHECKING:
    from rlgen.study.config import Study


def parent_problems(study: "Study") -> Iterator[str]:
    """Unknown parents and models that descend from themselves."""
    for name in study.models:
        seen, model = [name], name
        while (parent := getattr(study.models[model], "parent", None)) is not None:
            found = list(told(f"models.{model}.parent", study.state, parent))
            if found:
                yield from found if model == name else []
                break
            model = parent.partition("@")[0]
            if model in seen:
                yield f"models.{name}.parent: {' -> '.join([*seen, model])} is a cycle, expected a pretrained ancestor"
                break
            seen.append(model)


def model_problems(study: "Study") -> Iterator[str]:
    """Settings of single models, and who teaches them."""
    for name, model in study.models.items():
        if isinstance(model, Pretrain) and model.architecture.head_dim % 2:  # rotary positions turn pairs
            yield f"models.{name}.architecture.head_dim: {model.architecture.head_dim} is odd, expected an even number"
        elif isinstance(model, SFT | DPO | Rewarded | Distil) and model.steps < model.checkpoints:
            yield (
                f"models.{name}.checkpoints: {model.checkpoints} checkpoints of {model.steps} steps, "
                "expected no more checkpoints than steps"
            )
    unknown = [*_unknown_origins(study)]
    yield from unknown
    yield from _solution_problems(study)
    yield from aim_problems(study)
    if not unknown and not any(True for _ in parent_problems(study)):
        yield from _circles(study)


def _unknown_origins(study: "Study") -> Iterator[str]:
    """Teachers and solutions that nothing defines."""
    for name, model in study.models.items():
        if isinstance(model, Distil):
            yield from told(f"models.{name}.teacher", study.state, model.teacher)
        if solutions := getattr(model, "solutions", None):
            yield from told(f"models.{name}.solutions", check_known, solutions, "solutions", study.solutions)
    for name, entry in study.solutions.items():
        yield from told(f"solutions.{name}.of", study.state, entry.of)


def _solution_problems(study: "Study") -> Iterator[str]:
    """Solutions that the organism has no words for."""
    words = vocabulary(study.data.families) if study.organism else None
    for name, entry in study.solutions.items():
        for word in (entry.prefix or "").split():
            if words is not None and word not in words:
                field = f"solutions.{name}.prefix"
                yield f"{field}: '{word}' is no word of the tasks, expected one of {' '.join(words)}"


def _circles(study: "Study") -> Iterator[str]:
    """Models that need themselves, through solutions or teachers, to be made."""
    for name in study.models:
        ahead, seen = [name], set()
        while ahead:
            for origin in origins(study, ahead.pop()):
                if origin == name:
                    yield f"models.{name}: is made from itself, expected solutions and a teacher of other models"
                    ahead = []
                    break
                if origin not in seen:
                    seen.add(origin)
                    ahead.append(origin)


def origins(study: "Study", model: str) -> list[str]:
    """Models that one is made from: parent, teacher, who wrote its solutions, who shaped the edit it aims at."""
    settings = study.models[model]
    states = [getattr(settings, "parent", None), getattr(settings, "teacher", None)]
    solutions = getattr(settings, "solutions", None)
    states.append(study.solutions[solutions].of if solutions else None)
    aim = aim_of(settings)
    if aim and aim.procedure in study.procedures:  # chosen by its doses, and they by all that the procedure edits
        procedure = study.procedures[aim.procedure]
        read = study.dictionaries.get(procedure.dictionary)
        states += [*procedure.edits, *(read.members if read else ())]
    return [state.partition("@")[0] for state in states if state]
