"""Other studies beside the main procedure: a layer, a token stream or models that one study cannot vary.

A sibling is a study of its own with a main procedure of its own. Its latents, samples and dictionary have nothing in
common with ours, so that what can be compared is what its set does: effects, differences from rivals, verdicts. The
difference of two effects is of different models, so its interval is not a paired one. (docs/method.md, section 11.)
"""

from pathlib import Path

import pandas as pd

from rlgen.files import ArtifactError
from rlgen.ledger.intervals import Interval, difference
from rlgen.sensitivity.settings import MAIN

TOLD = ["set_size", "alive", "set_share", "effect", "difference", "refused", "verdict"]
KEYS = ["seed", "state", "role", "metric"]


def beside(table: pd.DataFrame, sibling: pd.DataFrame, path: Path, factor: str, name: str) -> pd.DataFrame:
    """The table with the rows of the sibling's main procedure as one more variant, of the seeds that both have.

    Raises ArtifactError where they have no seed, or no edited model, in common.
    """
    seeds = set(table["seed"])
    theirs = sibling[(sibling["factor"] == MAIN) & sibling["seed"].isin(seeds) & sibling["quantity"].isin(TOLD)]
    if theirs.empty:
        raise ArtifactError(path, "no seed in common with this study", "run the sibling with seeds of this study")
    states = set(table.loc[table["factor"] == MAIN, "state"].dropna())
    strange = sorted(set(theirs["state"].dropna()) - states)
    if strange:
        expected = ", ".join(sorted(states)) or "none"
        raise ArtifactError(path, f"edits {', '.join(strange)}, expected {expected}", "name roles and models alike")
    against = pd.DataFrame(_against(table[table["factor"] == MAIN], theirs))
    added = pd.concat([theirs, against], ignore_index=True) if len(against) else theirs
    return pd.concat([table, added.assign(factor=factor, variant=name)], ignore_index=True)[list(table.columns)]


def _against(main: pd.DataFrame, theirs: pd.DataFrame) -> list[dict[str, object]]:
    """Effects of the sibling's set minus those of the main one, each at its own dose, MOVER intervals."""
    ours, theirs = (_own_effects(rows) for rows in (main, theirs))
    rows = []
    for key in theirs.index.intersection(ours.index):
        sides = (Interval(*map(float, side.loc[key, ["value", "lo", "hi"]])) for side in (theirs, ours))
        found = difference(*sides)
        rows.append(dict(zip(KEYS, key, strict=True)) | {"quantity": "against_main"} | found._asdict())
    return rows


def _own_effects(rows: pd.DataFrame) -> pd.DataFrame:
    """The set's own effects, by seed, state, role and metric."""
    own = rows[(rows["quantity"] == "effect") & rows["rival"].isna() & (rows["form"] == "own_dose")]
    return own.set_index(KEYS)[["value", "lo", "hi"]].dropna()
