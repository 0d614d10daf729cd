"""What the tables say about a claim in one seed: a number with its interval, or why there is none.

Every statistic is a function (claim, tables, study, seed) -> Evidence; rows are those of the test half.
"""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from rlgen.ledger.intervals import Interval, difference, ratio, wilson
from rlgen.ledger.settings import Claim
from rlgen.tables import ROLE_MEAN, STEERING, UNEDITED

FAMILIES = ("random", "rotated", "direction")  # rivals that come in dozens
FAMILY_SHARE = 0.95  # share of a family's members that the set must exceed
COLUMNS = {
    "accuracy": ["state", "seed", "role", "task", "half", "metric", "value", "lo", "hi"],
    "features": ["dictionary", "recipe", "seed", "alive", "nrn_l1"],
    "dynamics": ["seed", "kind", "model", "reading", "a", "b", "value"],
    "sets": ["procedure", "seed", "task", "size", "note"],
    "overlap": [
        "procedure", "seed", "population", "task_a", "task_b", "jaccard", "chance_mean", "chance_lo", "chance_hi",
    ],
    "effects": [
        "procedure", "state", "edit", "set_kind", "chosen", "role", "task", "half", "subset", "metric", "value", "lo",
        "hi", "change", "change_lo", "change_hi", "seed",
    ],
    "comparisons": [
        "procedure", "state", "edit", "rival", "form", "role", "task", "half", "metric", "seed", "difference", "lo",
        "hi", "share_exceeded", "members",
    ],
    "controls": ["procedure", "state", "edit", "seed", "refused", "refused_readout"],
    "recovery": ["seed", "procedure", "quantity", "task", "value", "lo", "hi", "chance_hi"],
    "explained": ["seed", "predictor", "role", "value", "lo", "hi"],
    "foretold": ["seed", "checkpoint", "texts", "predictor", "role", "beyond", "beyond_lo", "beyond_hi"],
    "sensitivity": ["factor", "variant", "seed", "quantity", "state", "role", "metric", "value", "lo", "hi", "note"],
}  # fmt: skip
Tables = dict[str, pd.DataFrame]


class NoData(Exception):
    """The tables cannot tell; the text says why."""


class Setting(NamedTuple):
    """What the statistics know of their study."""

    reference: str
    target: str
    top: int  # latents of a list in the dynamics


class Evidence(NamedTuple):
    """A statistic with its interval. `doubt`: why it cannot hold, whatever the interval says; empty: nothing."""

    interval: Interval
    doubt: str = ""


def evidence(claim: Claim, tables: Tables, study: Setting, seed: int) -> Evidence:
    """The claim's statistic in one seed. Raises NoData with the reason where the tables cannot tell."""
    if claim.because:
        raise NoData(claim.because)
    if claim.tables[0] not in tables:
        raise NoData(f"the study has no table '{claim.tables[0]}'")
    found = OF_STATISTIC[claim.statistic](claim, tables, study, seed)
    if any(pd.isna(number) for number in found.interval):
        raise NoData("the table leaves the number or its interval empty")
    return found


def _rows(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """Rows whose columns have the wanted values."""
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def _one(rows: pd.DataFrame, what: str) -> pd.Series:
    """The only row. Raises NoData without one, ValueError where several could be meant."""
    if rows.empty:
        raise NoData(f"no row for {what}")
    if len(rows) > 1:
        raise ValueError(f"{len(rows)} rows for {what}, expected one")
    return rows.iloc[0]


def _scored(table: pd.DataFrame, role: str, seed: int) -> pd.DataFrame:
    """Mean accuracy of a role's tasks on the test half."""
    return _rows(table, role=role, task=ROLE_MEAN, half="test", metric="accuracy", seed=seed)


def _accuracy(claim: Claim, tables: Tables, study: Setting, seed: int) -> Evidence:
    rows = _scored(tables["accuracy"], claim.role, seed)
    sides = [_one(_rows(rows, state=state), f"{state} on {claim.role}") for state in (claim.model, claim.against)]
    return Evidence(difference(*(Interval(r["value"], r["lo"], r["hi"]) for r in sides)))


def _tail(claim: Claim, tables: Tables, study: Setting, seed: int) -> Evidence:
    """Latents are the trials."""
    shares = []
    for dictionary in (claim.dictionary, claim.against):
        rows = _rows(tables["features"], dictionary=dictionary, recipe=claim.recipe, seed=seed)
        alive = rows.loc[rows["alive"].astype(bool), "nrn_l1"]
        if alive.empty:
            raise NoData(f"no alive latents of {dictionary}, {claim.recipe}")
        shares.append(wilson(int((alive > claim.nrn_above).sum()), len(alive)))
    return Evidence(difference(*shares))


def _early(claim: Claim, tables: Tables, study: Setting, seed: int) -> Evidence:
    """Latents of the top lists are the trials."""
    shares = []
    for model in (claim.model, claim.against):
        rows = _rows(tables["dynamics"], model=model, reading="joint", seed=seed)
        overlaps = _rows(rows, kind="overlap", a=1)
        last = _one(overlaps[overlaps["b"] == overlaps["b"].max()], f"the first checkpoint of {model}")
        alive = _one(_rows(rows, kind="alive"), f"alive latents over checkpoints of {model}")
        if pd.isna(last["value"]):
            raise NoData(f"no alive latents over checkpoints of {model}")
        trials = min(study.top, int(alive["value"]))
        shares.append(wilson(round(last["value"] * trials), trials))
    return Evidence(difference(*shares))


def _size(claim: Claim, tables: Tables, study: Setting, seed: int) -> Evidence:
    row = _set(claim, tables, seed)
    if row["size"] == 0:
        raise NoData(_why_empty(row))
    return Evidence(Interval(*[float(row["size"])] * 3))  # a count: nothing was sampled


def _set(claim: Claim, tables: Tables, seed: int) -> pd.Series:
    rows = _rows(tables["sets"], procedure=claim.procedure, task=ROLE_MEAN, seed=seed)
    return _one(rows, f"the set of {claim.procedure}")


def _why_empty(row: pd.Series) -> str:
    return "the set is empty" + (f": {row['note']}" if isinstance(row["note"], str) else "")


def _overlap(claim: Claim, tables: Tables, study: Setting, seed: int) -> Evidence:
    """Chance is the unknown: its quantiles over random lists are the interval."""
    rows = _rows(tables["overlap"], procedure=claim.procedure, population="critical", task_a=ROLE_MEAN, seed=seed)
    row = _one(rows[rows["task_b"].isna() | (rows["task_b"] == "")], f"the lists of {claim.procedure}")
    found, chance = row["jaccard"], (row["chance_mean"], row["chance_hi"], row["chance_lo"])
    return Evidence(Interval(*(found - level for level in chance)))


def _edited(claim: Claim, table: pd.DataFrame, tables: Tables, state: str, seed: int) -> pd.DataFrame:
    """Rows of the claimed edit. Raises NoData, with the reason that other tables give, where it was not made."""
    rows = _scored(table, claim.role, seed)
    rows = _of_edit(_rows(rows, procedure=claim.procedure, state=state), claim)
    if rows.empty:
        if "sets" in tables and (row := _set(claim, tables, seed))["size"] == 0:
            raise NoData(_why_empty(row))
        if said := _refused(tables, "refused_readout", claim, state, seed):
            raise NoData(said)
        raise NoData(f"no rows of {claim.procedure} in {state} on {claim.role}")
    return rows


def _of_edit(rows: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Rows of the claimed edit: the procedure's only one in this state, where the claim names none."""
    return rows if claim.edit is None else _rows(rows, edit=claim.edit)


def _refused(tables: Tables, column: str, claim: Claim, state: str, seed: int) -> str:
    """Why the random sets, or the readout, of the claimed edit were refused; empty where they were not."""
    if "controls" not in tables:
        return ""
    rows = _of_edit(_rows(tables["controls"], procedure=claim.procedure, state=state, seed=seed), claim)
    words = [word for word in rows[column] if isinstance(word, str) and word]
    return words[0] if words else ""


def _effect(claim: Claim, tables: Tables, study: Setting, seed: int) -> Evidence:
    return Evidence(_change(claim, tables, claim.state, seed))


def _change(claim: Claim, tables: Tables, state: str, seed: int) -> Interval:
    rows = _edited(claim, _rows(tables["effects"], set_kind="selected", subset="half"), tables, state, seed)
    row = _one(rows[rows["chosen"].astype(bool)], f"the chosen dose of {claim.procedure} in {state}")
    return Interval(row["change"], row["change_lo"], row["change_hi"])


def _gap(claim: Claim, tables: Tables, study: Setting, seed: int) -> Evidence:
    rows = _rows(tables["effects"], procedure=STEERING, edit=UNEDITED, subset="half")
    rows = _scored(rows, claim.role, seed)
    sides = [_one(_rows(rows, state=state), f"{state} unedited") for state in (study.target, study.reference)]
    gap = difference(*(Interval(r["value"], r["lo"], r["hi"]) for r in sides))
    try:
        return Evidence(ratio(_change(claim, tables, study.reference, seed), gap))
    except ValueError as error:
        raise NoData(f"{study.target} and {study.reference} hardly differ: {error}") from error


def _difference(claim: Claim, tables: Tables, study: Setting, seed: int) -> Evidence:
    """Against several rivals the least favourable bound of each: the set must beat every one of them."""
    rows = _edited(claim, tables["comparisons"], tables, claim.state, seed)
    found, doubts = [], []
    for rival in claim.rivals:
        own = _rows(rows, rival=rival, form=claim.form)
        if own.empty:
            refused = _refused(tables, "refused", claim, claim.state, seed) if rival == "random" else ""
            doubts.append(f"no rows of {rival}, {claim.form}" + (f": {refused}" if refused else ""))
            continue
        row = _one(own, f"{rival}, {claim.form}")
        found.append(Interval(row["difference"], row["lo"], row["hi"]))
        if rival in FAMILIES and claim.within is None and not row["share_exceeded"] >= FAMILY_SHARE:
            doubts.append(f"exceeds {row['share_exceeded']:.0%} of {row['members']:.0f} {rival}")
    if not found:
        raise NoData("; ".join(doubts))
    worst = max if claim.below is not None else min
    return Evidence(Interval(*(worst(numbers) for numbers in zip(*found, strict=True))), "; ".join(doubts))


def _cosine(claim: Claim, tables: Tables, study: Setting, seed: int) -> Evidence:
    """Chance is a number: the cosine that 97.5 % of random sets stay below."""
    rows = _rows(tables["recovery"], procedure=claim.procedure, quantity="cosine", task=ROLE_MEAN, seed=seed)
    if rows.empty and "sets" in tables and (empty := _set(claim, tables, seed))["size"] == 0:
        raise NoData(_why_empty(empty))
    row = _one(rows, f"the cosine of {claim.procedure}")
    return Evidence(Interval(*(row[bound] - row["chance_hi"] for bound in ("value", "lo", "hi"))))


def _robustness(claim: Claim, tables: Tables, study: Setting, seed: int) -> Evidence:
    """The variant that speaks most against the claim, with the least favourable bounds of all of them."""
    rows = _rows(tables["sensitivity"], factor=claim.factor, seed=seed)
    everyone = list(dict.fromkeys(rows["variant"]))
    wanted = {"quantity": "against_main", "state": claim.state, "role": claim.role, "metric": "accuracy"}
    rows = _rows(rows, **wanted).set_index("variant")
    if rows.empty:
        raise NoData(f"no variant of {claim.factor} was edited in {claim.state}")
    missing = [name for name in everyone if name not in rows.index]
    doubt = f"not edited in {claim.state}: {', '.join(missing)}" if missing else ""
    value, lo, hi = (rows[bound].astype(float) for bound in ("value", "lo", "hi"))
    if claim.within is not None:
        worst = float(value.loc[value.abs().idxmax()])
        return Evidence(Interval(worst, float(lo.min()), float(hi.max())), doubt)
    least = max if claim.below is not None else min
    return Evidence(Interval(*(float(least(numbers)) for numbers in (value, lo, hi))), doubt)


def _explains(claim: Claim, tables: Tables, study: Setting, seed: int) -> Evidence:
    """Runs are what was resampled: all arms of a seed."""
    rows = _rows(tables["explained"], predictor=claim.predictor, role=claim.role)
    row = _one(rows[rows["seed"].astype(str) == str(seed)], f"{claim.predictor} on {claim.role}")
    return Evidence(Interval(row["value"], row["lo"], row["hi"]))


def _foretells(claim: Claim, tables: Tables, study: Setting, seed: int) -> Evidence:
    """Arms are what was resampled; readings are those on prompts of the selection tasks."""
    rows = _rows(tables["foretold"], predictor=claim.predictor, role=claim.role, texts="selection")
    rows = rows[rows["seed"].astype(str) == str(seed)]
    row = _one(rows[rows["checkpoint"] == rows["checkpoint"].min()], f"{claim.predictor} on {claim.role}")
    return Evidence(Interval(row["beyond"], row["beyond_lo"], row["beyond_hi"]))


OF_STATISTIC: dict[str, Callable[[Claim, Tables, Setting, int], Evidence]] = {
    "accuracy_difference": _accuracy,
    "norm_ratio_tail": _tail,
    "early_overlap": _early,
    "set_size": _size,
    "task_overlap": _overlap,
    "effect": _effect,
    "gap_share": _gap,
    "difference": _difference,
    "truth_cosine": _cosine,
    "robustness": _robustness,
    "explains": _explains,
    "foretells": _foretells,
}
