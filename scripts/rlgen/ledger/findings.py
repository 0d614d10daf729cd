"""What came out, in words: the ledger's verdicts as a page of a report, and as the part of one that is read first."""

from html import escape

import pandas as pd

from rlgen.ledger.verdicts import FAILS, HOLDS, NO_DATA, OPEN, OVERALL, VERDICTS

OF = {"paper": "of the paper", "ours": "of this project", "robustness": "on how one looks"}
OF |= {"refutation": "which would speak against the set if it held"}
SAID = {HOLDS: "Holds", FAILS: "Fails", OPEN: "Not decidable over these seeds", NO_DATA: "No data"}


def as_html(study: str, ledger: pd.DataFrame) -> str:
    """A paragraph with the counts, then a list per verdict over seeds. `ledger`: columns of `verdicts.judge`.

    A fragment that browsers open as a page, too, and in which nothing but text comes from the study.
    """
    overall = ledger[ledger["seed"].astype(str) == OVERALL]
    parts = [
        '<meta charset="utf-8">',
        f"<h2>What came out of study {escape(study)}</h2>",
        f"<p>{escape(summary(ledger))}</p>",
    ]
    for verdict, title in SAID.items():
        claims = overall[overall["verdict"] == verdict]
        if len(claims):
            parts.append(f"<h3>{title}</h3>\n<ul>")
            parts += [f"<li>{escape(sentence(ledger, row))}</li>" for row in claims.itertuples()]
            parts.append("</ul>")
    return "\n".join(parts) + "\n"


def summary(ledger: pd.DataFrame) -> str:
    """How many claims were judged with which verdict, over seeds and in single ones."""
    each = ledger["seed"].astype(str) != OVERALL
    if not len(ledger):
        return "No claim was written down."
    claims, seeds = ledger["claim"].nunique(), ledger.loc[each, "seed"].astype(str).nunique()
    return (
        f"Claims written down before the run: {claims}. Over {seeds} seed{'s' * (seeds != 1)}: "
        f"{_counts(ledger.loc[~each, 'verdict'])}. In single seeds: {_counts(ledger.loc[each, 'verdict'])}."
    )


def sentence(ledger: pd.DataFrame, row) -> str:
    """One claim with what its verdict rests on. `row`: its line over seeds."""
    rows = ledger[(ledger["claim"] == row.claim) & (ledger["seed"].astype(str) != OVERALL)]
    head = f"{row.says} (a claim {OF.get(row.of, row.of)})."
    if row.verdict == NO_DATA:
        return f"{head} {row.reason}."
    bound = f", claimed {row.bound}" if isinstance(row.bound, str) else ""
    return f"{head} Median {row.value:.2f}{bound}; seeds: {_counts(rows['verdict'])}."


def _counts(verdicts: pd.Series) -> str:
    """`6 holds, 1 fails`; the verdicts that there are."""
    found = verdicts.value_counts()
    return ", ".join(f"{found[said]} {said}" for said in VERDICTS if said in found)
