"""Checks of a study's claims: do they name what the study has, and edits that it makes."""

from collections.abc import Iterator

from rlgen.ledger.settings import Claim, states_of
from rlgen.study.config import Study, check_known, told


def claim_problems(study: Study) -> Iterator[str]:
    """Problems of all claims, each as `field: what is wrong, expected what`."""
    for name, claim in study.claims.items():
        yield from _problems_of(study, f"claims.{name}", claim)


def _problems_of(study: Study, field: str, claim: Claim) -> Iterator[str]:
    """Names that nothing defines, and edits that the claimed procedure does not make."""
    if claim.role and not getattr(study.tasks, claim.role):
        yield f"{field}.role: {claim.role}, but the study lists no such tasks"
    unknown = [p for k, state in states_of(claim).items() for p in told(f"{field}.{k}", study.state, state)]
    yield from unknown
    if claim.factor:
        yield from _factor_problems(study, field, claim)
    if claim.statistic == "explains" and study.arms is None:
        yield f"{field}.statistic: explains, but the study lists no arms"
    if claim.statistic == "foretells" and (study.arms is None or study.arms.watch is None):
        yield f"{field}.statistic: foretells, but arms.watch names no procedure"
    if claim.statistic == "early_overlap" and not unknown:
        yield from _course_problems(study, field, claim)
    for k in ("dictionary", "against") if claim.dictionary else ():
        yield from told(f"{field}.{k}", check_known, getattr(claim, k), "dictionary", study.dictionaries)
        entry = study.dictionaries.get(getattr(claim, k))
        if entry and claim.recipe not in entry.recipes:
            yield f"{field}.recipe: '{claim.recipe}' is not trained for {getattr(claim, k)}, expected a recipe of both"
    if claim.procedure and not unknown:
        yield from _claimed_edit_problems(study, field, claim)


def _factor_problems(study: Study, field: str, claim: Claim) -> Iterator[str]:
    """A claim on robustness is about variants, in a model that they edit."""
    if study.variants is None:
        yield f"{field}.factor: {claim.factor}, but the study lists no variants"
        return
    known = {**study.variants.factors, **study.variants.siblings}
    yield from told(f"{field}.factor", check_known, claim.factor, "factor", known)
    name = next(iter(study.variants.factors.get(claim.factor, {})), None)
    edited = study.procedures[name].edits if name in study.procedures else []
    try:
        if edited and study.state(claim.state) not in map(study.state, edited):
            yield f"{field}.state: variants edit {', '.join(map(study.label, edited))}, expected one of these"
    except ValueError:  # an unknown state, told elsewhere
        return


def _course_problems(study: Study, field: str, claim: Claim) -> Iterator[str]:
    """Both models need a dictionary over their checkpoints."""
    try:
        courses = study.courses()
    except ValueError:  # an unknown state, told elsewhere
        return
    for k in ("model", "against"):
        if getattr(claim, k) not in courses:
            yield f"{field}.{k}: no dictionary reads the reference and all checkpoints of {getattr(claim, k)}"


def _claimed_edit_problems(study: Study, field: str, claim: Claim) -> Iterator[str]:
    """The claimed procedure must be known, and must make the claimed edit where a claim is about one."""
    yield from told(f"{field}.procedure", check_known, claim.procedure, "procedure", study.own_procedures())
    state = study.roles.reference if claim.statistic == "gap_share" else claim.state
    if claim.procedure not in study.procedures or state is None:
        return
    try:
        edited = {study.label(s): kinds for s, kinds in study.procedures[claim.procedure].edits.items()}
        made = edited.get(study.label(state), [])
    except ValueError:  # an unknown state, told elsewhere
        return
    if not made:
        yield f"{field}.procedure: {claim.procedure} makes no edit in {state}, expected one that does"
    elif claim.edit is None and len(made) > 1:
        yield f"{field}.edit: missing, expected one of {', '.join(made)}, the edits of {claim.procedure} in {state}"
    elif claim.edit is not None:
        yield from told(f"{field}.edit", check_known, claim.edit, "edit", made)
