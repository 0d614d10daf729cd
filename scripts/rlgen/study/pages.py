"""What each figure and table may know of the study, and which of them a study has no inputs for."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from rlgen.ledger.settings import dictionaries_of, states_of, tables_of
from rlgen.study.aims import aim_shown, aims
from rlgen.study.config import Study
from rlgen.study.shown_dictionaries import arm_dictionaries, compared, nulls, pairs, shared_recipes, titles
from rlgen.study.shown_models import chance, made, published_accuracy, taught_again

PAGES = {  # page -> what it shows; the script, the rule and the module of a page carry its name
    "fig1_behaviour": "Accuracy of all models in and out of the trained domain",
    "fig2_nrn": "Norm ratios of the pairs' features, with the null",
    "fig3_mas": "Model affinity of the joint dictionary's features",
    "fig4_dynamics": "Overlap of tuned-specific features over training",
    "fig5_mediation": "Mediating features per task and their overlap against chance",
    "fig6_selection": "Edits, controls and rivals on the selection tasks",
    "fig7_unseen": "Edits on the unseen tasks and the dose curve",
    "fig8_recovery": "Every procedure against the planted truth",
    "fig9_sensitivity": "Variants of the main procedure against it",
    "fig10_arms": "Other ways to post-train, and how far each moves",
    "fig11_early": "What the set's reading foretells, and models that aim at it",
    "fig12_extended": "Sets of every size, by every score, from every choice of tasks",
    "claims": "Verdicts on the study's claims",
    "table1_accuracies": "Accuracies",
    "table2_interventions": "Effects of interventions",
    "table3_dictionaries": "Quality of the dictionaries",
    "table4_features": "Top mediating features and where they fire",
    "table5_sensitivity": "Variants of the main procedure",
}
EXTENDED = ["fig12_extended"]  # drawn by `snakemake extended` alone
USUAL = [page for page in PAGES if page not in EXTENDED]
Slice = dict[str, Any]


def number(page: str) -> str:
    """The short name of a page, which its files carry: `fig3` of `fig3_mas`."""
    return page.partition("_")[0]


def files_of(page: str) -> list[str]:
    """Names of a page's files."""
    drawn = [] if page.startswith("table") else ["pdf", "png"]
    written = [] if page.startswith("fig") else ["csv", "tex"]
    shown = ["html"] if page.startswith("table") else []
    return [f"{number(page)}.{ending}" for ending in [*drawn, *written, *shown]]


def unlisted(scripts: Iterable[str], tables: Iterable[str]) -> Iterator[str]:
    """One line per place that lacks a page which another place has: a page takes all of them.

    `scripts` are the names in scripts/figures/, `tables` the pages whose tables the rules name.
    """
    kinds = ("fig", "table")
    scripts, tables, known = ({n for n in names if n.startswith(kinds)} for names in (scripts, tables, PAGES))
    sliced = {name for name in scripts | tables | known if name in globals()}
    places = {
        "scripts/figures/": scripts,
        "TABLES in rules/figures.smk": tables,
        "PAGES in scripts/rlgen/study/pages.py": known,
        "the slices of scripts/rlgen/study/pages.py": sliced,
    }
    for name in sorted(set.union(*places.values())):
        where = [place for place, names in places.items() if name not in names]
        if where:
            yield f"page {name} is missing in {', '.join(where)}"


def left_out(study: Study) -> dict[str, str]:
    """Pages that the study cannot fill -> why."""
    reasons = _reasons(study)
    return {number(page): reasons[number(page)] for page in PAGES if number(page) in reasons}


def _reasons(study: Study) -> dict[str, str]:
    reasons = {}
    if not study.trained_dictionaries():
        reasons |= dict.fromkeys(["table3"], "no dictionaries are listed")
    if not set(pairs(study).values()) & set(compared(study)):
        reasons["fig2"] = "no dictionary reads the reference and the target alone"
    elif not shared_recipes(study):
        reasons["fig2"] = f"no recipe is trained for all of {', '.join(pairs(study))}"
    if not study.joint():
        reasons["fig3"] = "no dictionary reads reference, contrast and target together"
    if not study.courses():
        reasons["fig4"] = "no dictionary reads the reference and all checkpoints of one model"
    if not study.tasks.unseen:
        reasons["fig7"] = "no tasks are listed as unseen"
    if not study.organism:
        reasons["fig8"] = "its models have no planted truth to recover"
    if study.variants is None:
        reasons |= dict.fromkeys(["fig9", "table5"], "no variants are listed")
    if study.arms is None:
        reasons |= dict.fromkeys(["fig10", "fig11"], "no arms are listed")
    elif study.arms.watch is None:
        reasons["fig11"] = "no procedure's set is watched"
    if study.extended is None:
        reasons["fig12"] = "the config has no part `extended`"
    if not study.claims:
        reasons["claims"] = "no claims are listed"
    if not study.procedures:
        reasons |= dict.fromkeys(["fig5", "fig6", "fig7", "fig8", "table2", "table4"], "no procedures are listed")
    return reasons


def page(study: Study) -> Slice:
    """What every page prints of its study."""
    return {"study": study.study, "roles": study.roles.model_dump()}


table3_dictionaries = page


def table1_accuracies(study: Study) -> Slice:
    """Pages that list tasks."""
    return page(study) | {"tasks": study.tasks.model_dump()}


def fig1_behaviour(study: Study) -> Slice:
    """Every model at the end of its training, and step by step where the study asks how fast one learns."""
    again = {name: taught_again(study, name) for name in study.relearning}
    return table1_accuracies(study) | {
        "models": study.by_role(),
        "made": {name: words for name in study.by_role() if (words := made(study, name))},
        "relearning": again,
        "chance": chance(study),
        "published": published_accuracy(study),
    }


def fig2_nrn(study: Study) -> Slice:
    return page(study) | {
        "models": study.by_role(),
        "pairs": pairs(study),
        "nulls": nulls(study),
        "recipes": titles(study, shared_recipes(study)),
    }


def norm_ratio_dictionaries(study: Study) -> list[str]:
    """The dictionaries that fig2 shows: the compared pairs and their nulls."""
    return [*pairs(study), *nulls(study)]


def fig3_mas(study: Study) -> Slice:
    entry = study.dictionaries[study.joint()]
    return page(study) | {
        "triple": study.joint(),
        "members": [study.label(member) for member in entry.members],
        "recipes": titles(study, entry.recipes),
    }


def fig4_dynamics(study: Study) -> Slice:
    return page(study) | {"models": list(study.courses()), "top": study.features.top}


def procedures(study: Study) -> Slice:
    """Pages about procedures: their settings, by name, with the labels of states that tables use."""
    entries = {
        name: p.model_dump() | {"edits": {study.label(state): edits for state, edits in p.edits.items()}}
        for name, p in study.own_procedures().items()
    }
    return page(study) | {"procedures": entries, "leading": leading(study)}


def leading(study: Study) -> str | None:
    """The procedure that titles are about: the one that most of the project's own claims name, else the first."""
    claimed = Counter(c.procedure for c in study.claims.values() if c.of == "ours" and c.procedure)
    return max([*claimed, *study.own_procedures()], key=lambda name: claimed[name], default=None)


def edits(study: Study) -> Slice:
    """Pages about edits: the procedures and the states they edit."""
    return procedures(study) | {"states": study.edited_states()}


def table4_features(study: Study) -> Slice:
    """The leading procedure's set, by dictionaries of all seeds."""
    name = leading(study)
    return page(study) | {
        "seeds": study.seeds,
        "procedure": name,
        "recipe": study.procedures[name].recipe,
        "score": study.procedures[name].list_score,
        "shown": study.features.shown,
    }


def fig5_mediation(study: Study) -> Slice:
    """Choices are made on the selection tasks alone."""
    return procedures(study) | {"selection": study.tasks.selection}


fig8_recovery = table2_interventions = edits


def fig6_selection(study: Study) -> Slice:
    return edits(study) | _published_effects(study, study.tasks.selection)


def fig7_unseen(study: Study) -> Slice:
    return edits(study) | _published_effects(study, study.tasks.unseen)


def fig9_sensitivity(study: Study) -> Slice:
    """Variants by factor, and what each changes, in words."""
    variants, named = study.variants, study.factor_of()
    changes = {name: variants.factors[factor][name] for name, factor in named.items()}
    nulls = [name for name in named if study.dictionaries[study.procedures[name].dictionary].is_null]
    return page(study) | {
        "main": variants.procedure,
        "target": study.explained(variants.procedure),
        "factors": variants.changes(),
        "replicates": [name for name, variant in changes.items() if set(variant.recipe) == {"replicate"}],
        "nulls": nulls,
        "margin": variants.margin,
        "same_cosine": variants.same_cosine,
    }


table5_sensitivity = fig9_sensitivity


def fig10_arms(study: Study) -> Slice:
    """The arms and where their training texts come from."""
    watched = study.procedures[study.arms.watch] if study.arms.watch else None
    taken, recipe = (watched.away, watched.recipe) if watched else ([], None)
    told = {"arms": study.arms.listed(), "prompts": study.arms.prompts, "watch": study.arms.watch}
    told |= {"dictionaries": arm_dictionaries(study), "recipe": recipe}
    return page(study) | told | {"taken": [study.label(state) for state in taken]}


def fig11_early(study: Study) -> Slice:
    """The watched procedure; models that aim at a set, and the compared ones beside them."""
    beside = [m for m in (study.roles.target, study.roles.contrast) if m in study.made_by("sft", "grpo", "rloo")]
    return page(study) | {
        "watch": study.arms.watch,
        "models": {name: aim_shown(study, name) for name in [*beside, *aims(study)]},
        "prompts": study.arms.prompts,
    }


def fig12_extended(study: Study) -> Slice:
    """The procedure whose sets are varied, and how."""
    extended = study.extended
    procedure = study.procedures[extended.procedure]
    return table1_accuracies(study) | {
        "procedure": extended.procedure,
        "score": procedure.score,
        "target": study.explained(extended.procedure),
        "left_out": extended.left_out,
    }


def judge_claims(study: Study) -> Slice:
    """Claims, with the labels of states that tables use."""
    claims = {}
    for name, claim in study.claims.items():
        states = {k: study.label(getattr(claim, k)) for k in states_of(claim)}
        claims[name] = claim.model_dump() | states
    return page(study) | {"seeds": study.seeds, "top": study.features.top, "claims": claims}


def tables_of_claims(study: Study) -> list[str]:
    """Tables that the claims are judged from, of those that the study makes."""
    made = {"accuracy"} | ({"dynamics"} if study.courses() else set())
    made |= {"features"} if dictionaries_of(study.claims) else set()
    if study.procedures:
        made |= {"sets", "overlap", "effects", "comparisons", "controls"}
        made |= {"recovery"} if study.organism else set()
    made |= {"sensitivity"} if study.variants else set()
    made |= {"explained"} if study.arms else set()
    made |= {"foretold"} if study.arms and study.arms.watch else set()
    return [table for table in tables_of(study.claims) if table in made]


def _published_effects(study: Study, tasks: list[str]) -> Slice:
    """Published effects and the tasks they are shown for; nothing for a study of its own."""
    return {"published": study.published.model_dump(), "tasks": tasks} if study.published else {}
