"""The ledger in the README: verdicts of studies side by side, between two markers, from a committed copy of them."""

import pandas as pd

from rlgen.ledger.verdicts import FAILS, HOLDS, NO_DATA, OPEN, OVERALL

BEGIN, END = "<!-- ledger: written by `make readme` -->", "<!-- end of the ledger -->"
HEADINGS = {"paper": "of the paper", "ours": "of this project", "robustness": "does it depend on how one looks"}
HEADINGS |= {"refutation": "what would settle it against the set"}


def merged(kept: pd.DataFrame, new: list[pd.DataFrame]) -> pd.DataFrame:
    """The kept verdicts with those of some studies replaced, studies in order of first appearance."""
    for table in new:
        kept = kept[~kept["study"].isin(table["study"])]
        kept = pd.concat([part for part in (kept, table) if len(part)], ignore_index=True) if len(table) else kept
    return kept


def quoted(ledger: pd.DataFrame) -> str:
    """One Markdown line per claim and one column per study."""
    if ledger.empty:
        return "No study has been judged yet.\n"
    studies = list(dict.fromkeys(ledger["study"]))
    titles = [f"{study} ({_seeds(ledger, study)})" for study in studies]
    lines = ["| claim | bound | " + " | ".join(titles) + " |", "|---|---|" + "---|" * len(studies)]
    overall = ledger[ledger["seed"].astype(str) == OVERALL]
    for kind, heading in HEADINGS.items():
        claims = overall[overall["of"] == kind].drop_duplicates("claim")
        lines += [f"| **{heading}** | |" + " |" * len(studies)] if len(claims) else []
        for claim in claims.itertuples():
            cells = [_cell(ledger[(ledger["study"] == s) & (ledger["claim"] == claim.claim)]) for s in studies]
            bound = claim.bound if isinstance(claim.bound, str) else ""
            lines.append(f"| {claim.says} | {bound} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _seeds(ledger: pd.DataFrame, study: str) -> str:
    seeds = ledger.loc[(ledger["study"] == study) & (ledger["seed"].astype(str) != OVERALL), "seed"]
    return f"seeds {', '.join(dict.fromkeys(seeds.astype(str)))}"


def _cell(rows: pd.DataFrame) -> str:
    """Verdict over seeds, median, and how single seeds were judged; a dash where the study does not claim it."""
    if rows.empty:
        return "–"
    whole = rows[rows["seed"].astype(str) == OVERALL].iloc[0]
    if whole["verdict"] == NO_DATA:
        return f"{NO_DATA}: {whole['reason']}"
    counts = rows.loc[rows["seed"].astype(str) != OVERALL, "verdict"].value_counts()
    each = ", ".join(f"{counts[said]} {said}" for said in (HOLDS, FAILS, OPEN, NO_DATA) if said in counts)
    head = f"**{whole['verdict']}**" if whole["verdict"] in (HOLDS, FAILS) else whole["verdict"]
    return f"{head}; median {whole['value']:.2f}; seeds: {each}; Holm {whole['p_holm']:.2g}"


def rewritten(text: str, ledger: pd.DataFrame) -> str:
    """The README with its part between the markers replaced. Raises ValueError where the markers are not there once."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"expected the lines '{BEGIN}' and '{END}', in this order and once each")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return f"{before}{BEGIN}\n\n{quoted(ledger)}\n{END}{after}"
