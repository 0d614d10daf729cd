"""Where a ledger and its recomputation disagree."""

import csv
from pathlib import Path

import numpy as np
from ledger_again import DRAWS
from verdicts_again import Z

BOOTSTRAPPED = ("accuracy_difference", "effect", "gap_share", "difference")


def disagreements(ledger: Path, again: dict[tuple[str, str], dict], draws: int) -> list[str]:
    """One line per number or verdict of the ledger (claims.csv) that the recomputation does not confirm.

    Estimates, counts and bounds that nothing was drawn for agree to rounding. Bounds of bootstrap intervals agree to
    what two sets of draws can differ by: a 2.5 % quantile of D draws has a standard error of 2.67 / sqrt(D) standard
    errors of the estimate; five of these are allowed, and .001, as means have few values. A verdict may differ only
    where a bound lies that close to the claim's own.
    """
    lines, rows = [], list(csv.DictReader(ledger.read_text(encoding="utf-8").splitlines()))
    if {(row["claim"], row["seed"]) for row in rows} != set(again):
        return ["the ledger and the recomputation do not have the same claims and seeds"]
    for row in rows:
        own, name = again[row["claim"], row["seed"]], f"{row['claim']}, seed {row['seed']}"
        if row["seed"] == "ALL":
            numbers = {key: own[key] for key in ("p", "p_holm") if key in own}
        else:
            numbers = {key: own[key] for key in ("value", "lo", "hi") if key in own}
        close = False
        for key, number in numbers.items():
            stated = float(row[key]) if row[key] else np.nan
            drawn = key in ("lo", "hi") and row["statistic"] in BOOTSTRAPPED
            error = (own["hi"] - own["lo"]) / (2 * Z) if drawn else 0.0
            allowed = 1e-6 if not error else 1e-3 + 5 * 2.67 * error * np.sqrt(1 / draws + 1 / DRAWS)
            if not abs(stated - number) <= allowed:
                lines.append(f"{name}: {key} {stated:.6g}, again {number:.6g}, allowed {allowed:.2g}")
            threshold = float(row["bound"].split()[-1]) if row["bound"] else np.nan
            close |= bool(error and abs(abs(number) - abs(threshold)) <= allowed)
        if row["verdict"] != own["verdict"] and not close:
            lines.append(f"{name}: {row['verdict']}, again {own['verdict']}")
    return lines
