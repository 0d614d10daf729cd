"""What a variant's set does inside generation: against the unedited model, its rivals, and the main procedure's set.

All on the test half. Everything but the difference from the main set is made by the tables of interventions, from the
variant's own runs. (docs/method.md, section 11.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rlgen.interventions.comparisons import COMPARED, HALF, SELECTED, comparisons
from rlgen.interventions.tables import effects_table
from rlgen.ledger.evidence import NoData, Setting, evidence
from rlgen.ledger.settings import Claim
from rlgen.ledger.verdicts import NO_DATA, verdict
from rlgen.stats import task_mean_interval, task_resamples
from rlgen.tables import ROLE_MEAN, UNEDITED, prompts_by_condition

RIVALS = ("size", "random", "shift-in_domain")
Row = dict[str, object]


@dataclass(frozen=True)
class Edited:
    """One procedure's runs of one seed: rows per prompt, and the facts of its controls."""

    rows: pd.DataFrame
    controls: pd.DataFrame


@dataclass(frozen=True)
class Judging:
    """Who is compared with whom, and how the intervals are drawn."""

    reference: str
    target: str  # the model that the procedures explain
    seed: int
    draws: int
    claims: dict[str, Claim]  # of the main procedure


def effect_rows(ours: Edited, main: Edited, steering: pd.DataFrame, size: int, judging: Judging) -> list[Row]:
    """Effects, differences from rivals and from the main set, and the verdicts that the claims would have."""
    kept = _compared(ours.rows, judging)
    tables = _tables(kept, ours.controls, steering, size, judging)
    rows = [*_effects(tables), *_refusals(ours.controls, judging)]
    rows += _against_main(kept, _compared(main.rows, judging), judging)
    return rows + list(_verdicts(tables, judging))


def _compared(rows: pd.DataFrame, judging: Judging) -> pd.DataFrame:
    """Chosen doses on the test half, in the two compared models, of the set and the rivals that anything reads."""
    asked = {*RIVALS, *(rival for claim in judging.claims.values() for rival in claim.rivals or [])}
    if rows.empty:
        return rows
    family = rows["set"].str.replace(r"-\d+$", "", regex=True)
    where = rows["state"].isin([judging.reference, judging.target]) & (rows["half"] == HALF)
    return rows[where & rows["chosen"].astype(bool) & (family.isin(asked) | (family == SELECTED))]


def _tables(
    rows: pd.DataFrame, controls: pd.DataFrame, steering: pd.DataFrame, size: int, judging: Judging
) -> dict[str, pd.DataFrame]:
    """What the ledger reads, of this variant alone, under whatever name."""
    roles = {"reference": judging.reference, "target": judging.target}
    drawn = {"seed": judging.seed, "draws": judging.draws}
    unedited = steering[steering["edit"] == UNEDITED]
    tests = unedited[unedited["half"] == HALF]
    selected = rows[rows["set"] == SELECTED] if len(rows) else rows
    effects = [
        effects_table(table, unedited, **roles, same_goal=True, **drawn)
        for table in (tests[tests["state"].isin(roles.values())], selected)
    ]
    sets = pd.DataFrame(
        [{"task": ROLE_MEAN, "size": size, "note": "empty" if size == 0 else None, "seed": judging.seed}]
    )
    return {
        "effects": pd.concat([table for table in effects if len(table)], ignore_index=True),
        "comparisons": comparisons(rows, steering, target=judging.target, **drawn),
        "controls": controls.assign(seed=judging.seed),
        "sets": sets,
    }


def _effects(tables: dict[str, pd.DataFrame]) -> Iterator[Row]:
    """Means over a role's tasks: the set's change, that of its rivals, and the paired difference of both."""
    effects = tables["effects"]
    where = (effects["set_kind"] == SELECTED) & (effects["subset"] == "half") & (effects["task"] == ROLE_MEAN)
    for r in effects[where & effects["metric"].isin(COMPARED)].itertuples():
        names = {"quantity": "effect", "state": r.state, "role": r.role, "metric": r.metric, "form": r.form}
        yield names | {"value": r.change, "lo": r.change_lo, "hi": r.change_hi}
    compared = tables["comparisons"]
    for r in compared[(compared["task"] == ROLE_MEAN) & compared["rival"].isin(RIVALS)].itertuples():
        names = {"state": r.state, "role": r.role, "metric": r.metric, "rival": r.rival, "form": r.form}
        yield {"quantity": "effect", "value": r.rival_change} | names
        yield {"quantity": "difference", "value": r.difference, "lo": r.lo, "hi": r.hi} | names


def _refusals(controls: pd.DataFrame, judging: Judging) -> Iterator[Row]:
    """Why a model was not edited, or has no random sets."""
    for r in controls.itertuples():
        for column, rival in (("refused_readout", ""), ("refused", "random")):
            words = getattr(r, column)
            if r.state in (judging.reference, judging.target) and isinstance(words, str) and words:
                yield {"quantity": "refused", "state": r.state, "rival": rival, "value": np.nan, "note": words}


def _against_main(ours: pd.DataFrame, main: pd.DataFrame, judging: Judging) -> Iterator[Row]:
    """Paired difference, prompt by prompt, between a model under our set and under the main one, own doses."""
    if ours.empty or main.empty:
        return
    ours, main = (rows[rows["set"] == SELECTED].assign(side=side) for rows, side in ((ours, "ours"), (main, "main")))
    for (state, role), group in pd.concat([ours, main]).groupby(["state", "role"], sort=False):
        if group["side"].nunique() < 2:  # one of the two was not edited
            continue
        for metric, column in COMPARED.items():
            differences, weights = [], []
            for task, cell in group.groupby("task", sort=False):
                wide = prompts_by_condition(cell, "side", column)
                differences.append((wide["ours"] - wide["main"]).to_numpy())
                weights.append(task_resamples(len(wide), judging.draws, judging.seed, task, HALF, "half"))
            found = task_mean_interval(differences, weights)
            numbers = {name: float(number) for name, number in found._asdict().items()}
            yield {"quantity": "against_main", "state": state, "role": role, "metric": metric} | numbers


def _verdicts(tables: dict[str, pd.DataFrame], judging: Judging) -> Iterator[Row]:
    """What each claim on the main procedure would be told in this seed, were the variant the main procedure."""
    setting = Setting(judging.reference, judging.target, top=0)  # of the dynamics, which no edit changes
    for name, claim in judging.claims.items():
        named = {
            key: table if key == "effects" else table.assign(procedure=claim.procedure) for key, table in tables.items()
        }
        edited = named["effects"]["edit"] != UNEDITED
        named["effects"] = named["effects"].assign(
            procedure=named["effects"]["procedure"].mask(edited, claim.procedure)
        )
        try:
            found = evidence(claim, named, setting, judging.seed)
            yield {"quantity": "verdict", "claim": name, "value": found.interval.value, "note": verdict(claim, found)}
        except NoData as missing:
            yield {"quantity": "verdict", "claim": name, "value": np.nan, "note": f"{NO_DATA}: {missing}"}
