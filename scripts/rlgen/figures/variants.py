"""What the variants of a procedure say together: which factors move the effect, with which the set is found again.

Everything is counted and said from the table of all variants. (docs/method.md, section 11.)
"""

import re
from collections.abc import Iterable

import pandas as pd
from pydantic import Field

from rlgen.figures import wording
from rlgen.figures.page import Page

COLUMNS = [
    "factor", "variant", "seed", "quantity", "state", "role", "metric", "rival", "form", "claim", "value", "lo", "hi",
    "chance", "chance_lo", "chance_hi", "p", "note",
]  # fmt: skip


class Settings(Page):
    """`factors`: factor -> variant -> what it changes, in words; `main` is the procedure that is varied."""

    main: str
    target: str
    factors: dict[str, dict[str, str]]
    replicates: list[str] = Field(description="variants that change nothing but the dictionary's seed")
    nulls: list[str] = Field(description="variants that read a null dictionary")
    margin: float
    same_cosine: float


def in_order(names: Iterable[str]) -> list[str]:
    """Names of variants in the order of the alphabet and of the numbers in them: size-64, size-256, size-1024."""

    def parts(name: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]

    return sorted(names, key=parts)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table with empty texts in place of missing ones."""
    texts = ["state", "role", "metric", "rival", "form", "claim", "note"]
    return table.assign(**{column: table[column].astype(object).where(table[column].notna(), "") for column in texts})


def own_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the set itself, without its rivals."""
    return rows[rows["rival"] == ""]


def changed_verdicts(table: pd.DataFrame, main: str) -> dict[str, tuple[int, int]]:
    """Variant -> verdicts per claim and seed that differ from the main procedure's, and how many were compared."""
    rows = table[table["quantity"] == "verdict"]
    said = rows.assign(word=rows["note"].str.split(":").str[0]).pivot_table(
        index=["claim", "seed"], columns="variant", values="word", aggfunc="first"
    )
    if main not in said:
        return {}
    both = {name: said[[main, name]].dropna() if name != main else said[[main]] for name in said}
    return {name: (int((cells[main] != cells[name]).sum()), len(cells)) for name, cells in both.items()}


def moves(page: Settings, table: pd.DataFrame) -> pd.Series:
    """Mean over seeds of how far each variant's accuracy in the reference lies from the main set's, selection tasks."""
    rows = table[(table["quantity"] == "against_main") & (table["state"] == page.roles.reference)]
    rows = rows[(rows["role"] == "selection") & (rows["metric"] == "accuracy")]
    return rows.groupby("variant")["value"].mean()


def judged(page: Settings, table: pd.DataFrame) -> dict[str, list[str]]:
    """Factors whose variants move the effect by less than the margin (`same`) or with the worst of them (`other`).

    `again`, `lost`: factors with which the set overlaps with the main one beyond chance in all seeds, or does not. Null
    dictionaries are no factor.
    """
    moved, found = moves(page, table), {kind: [] for kind in ("same", "other", "again", "lost")}
    overlap = own_rows(table[table["quantity"] == "overlap"])
    above = (overlap["value"] > overlap["chance_hi"]).groupby(overlap["variant"]).all()
    for factor, variants in page.factors.items():
        if set(variants) <= set(page.nulls):
            continue
        known = moved.reindex(list(variants)).dropna()
        if len(known):
            worst = known.abs().idxmax()
            stays = abs(known[worst]) < page.margin
            found["same" if stays else "other"].append(
                factor if stays else f"{factor} ({worst} {wording.change(known[worst])})"
            )
        seen = above.reindex(list(variants)).dropna()
        if len(seen):
            found["again" if seen.all() else "lost"].append(factor)
    return found


def answer(page: Settings, table: pd.DataFrame) -> str:
    """How many factors leave the effect where it is, and with how many the set is found again, in words."""
    found = judged(page, table)
    tried, seen = found["same"] + found["other"], found["again"] + found["lost"]
    if not tried:
        return "No variant was compared with the main procedure"
    effect = f"{len(found['other'])} of {len(tried)} factors of how one looks move the effect in {page.roles.reference}"
    where = f" by {wording.share(page.margin)} or more"
    again = f"; with {len(found['again'])} of {len(seen)} the set is found again beyond chance" if seen else ""
    return effect + where + again


def finding(page: Settings, table: pd.DataFrame) -> str:
    """Which factors move the effect by the margin or more, with which the set is found again, and what a null does."""
    found, words = judged(page, table), []
    kinds = {"same": f"by less than {wording.share(page.margin)} with", "other": "by more with"}
    moving = "; ".join(f"{said} {', '.join(found[kind])}" for kind, said in kinds.items() if found[kind])
    if not moving:
        return "Nothing to compare."
    words.append(f"Effect in {page.roles.reference}, selection tasks, mean over seeds: moves {moving}.")
    nulls = moves(page, table).reindex(page.nulls).dropna()
    words += [f"A null dictionary ({name}): {wording.change(value)}." for name, value in nulls.items()]
    kinds = {"again": "beyond chance in all seeds with", "lost": "not with"}
    overlaps = "; ".join(f"{said} {', '.join(found[kind])}" for kind, said in kinds.items() if found[kind])
    words += [f"The set overlaps with the main one {overlaps}."] * bool(overlaps)
    return " ".join(words)
