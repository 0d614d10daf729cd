"""Checks of what a study adds to the usual pages: sets that are varied, arms that are compared."""

from collections.abc import Iterator

from rlgen.study.config import Study, check_known, told


def extended_problems(study: Study) -> Iterator[str]:
    """Problems of `extended`, each as `field: what is wrong, expected what`."""
    if study.extended is None:
        return
    name = study.extended.procedure
    yield from told("extended.procedure", check_known, name, "procedure", study.procedures)
    if name not in study.procedures:
        return
    if not study.procedures[name].by_cause:
        score = study.procedures[name].score
        yield f"extended.procedure: {name} chooses by {score}, expected attribution, elimination or gates"
    tasks = len(study.tasks.selection) + len(study.tasks.unseen)
    if study.extended.left_out >= tasks:
        left_out = study.extended.left_out
        yield f"extended.left_out: {left_out} of {tasks} tasks out of domain, expected fewer than there are"


def variants_problems(study: Study) -> Iterator[str]:
    """What is asked of the main procedure beside its variants."""
    taken = {"main", *(study.factor_of() if study.variants else ()), *study.procedures}
    for factor, entries in study.variants.siblings.items() if study.variants else ():
        if factor in study.variants.factors:
            yield f"variants.siblings: '{factor}' is a factor of this study, expected another name"
        for name, other in entries.items():
            if name in taken:
                yield f"variants.siblings.{factor}: the name '{name}' is taken, expected another one"
            if other == study.study:
                yield f"variants.siblings.{factor}.{name}: {other} is this study, expected another one"
            taken.add(name)
    for name in ("equivalence", "maps"):
        if study.asks(name) and not study.organism:
            yield f"variants.{name}: given, but it reads the organism's answers alone, expected none over sources"


def _check_explains_target(study: Study, watch: str) -> None:
    """Raises ValueError for a procedure that explains another model; what is unknown is told elsewhere."""
    procedure = study.procedures.get(watch)
    if procedure is None or procedure.dictionary not in study.dictionaries:
        return
    model = study.dictionaries[procedure.dictionary].members[-1]
    if model.partition("@")[0] in study.models and model.partition("@")[0] != study.roles.target:
        raise ValueError(f"{watch} explains {model}, expected the target {study.roles.target}")


def _check_explains_arm(study: Study, name: str, arms: list[str]) -> None:
    """Raises ValueError unless a procedure alone reads the reference and the end of an arm."""
    procedure = study.procedures.get(name)
    if procedure is None or procedure.dictionary not in study.dictionaries:
        return
    members = study.dictionaries[procedure.dictionary].members
    if any(member.partition("@")[0] not in study.models for member in members):
        return
    ends = {study.state(arm) for arm in arms if arm in study.models}
    if len(members) != 2 or study.state(members[0]) != study.state(study.roles.reference):
        expected = f"the reference {study.roles.reference} and an arm"
        raise ValueError(f"{name} reads {', '.join(members)}, expected {expected}")
    if study.state(members[1]) not in ends:
        raise ValueError(f"{name} explains {members[1]}, expected the end of an arm of arms.groups")
    also = [other for other in study.arms.sets if other in study.procedures and other != name]
    if any(study.arm_of(other) == study.arm_of(name) for other in also):
        raise ValueError(f"{name} explains {members[1]}, as another one does, expected one procedure per arm")


def arms_problems(study: Study) -> Iterator[str]:
    """Problems of `arms`: models that the study trains, the target among them, several of which are compared."""
    if study.arms is None:
        return
    names = [name for name, _ in study.arms.listed()]
    for name in names:
        yield from told("arms.groups", check_known, name, "model", study.models)
        if name == study.roles.reference:
            yield f"arms.groups: {name} is the reference, expected models that are compared with it"
    if study.roles.target not in names:
        yield f"arms.groups: the target {study.roles.target} is missing, expected it among the arms"
    if watch := study.arms.watch:
        yield from told("arms.watch", check_known, watch, "procedure", study.procedures)
        yield from told("arms.watch", _check_explains_target, study, watch)
    for name in study.arms.sets:
        yield from told("arms.sets", check_known, name, "procedure", study.procedures)
        yield from told("arms.sets", _check_explains_arm, study, name, names)
    if study.arms.prompts > study.evaluation.prompts_per_half:
        most = study.evaluation.prompts_per_half
        yield f"arms.prompts: {study.arms.prompts}, expected at most evaluation.prompts_per_half={most}"
