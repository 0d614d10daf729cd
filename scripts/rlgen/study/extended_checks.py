"""Checks of what a study says of its extended part: a procedure whose scores are by cause, tasks to rotate."""

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
