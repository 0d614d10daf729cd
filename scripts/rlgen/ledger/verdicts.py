"""From evidence to verdicts: per seed by the interval, over seeds by a sign test, over claims by Holm's rule."""

from collections import Counter
from collections.abc import Sequence
from math import comb

import pandas as pd

from rlgen.ledger.evidence import Evidence, NoData, Setting, Tables, evidence
from rlgen.ledger.settings import STATISTICS, Claim
from rlgen.tables import ROLE_MEAN

HOLDS, FAILS, OPEN, NO_DATA = "holds", "fails", "not decidable", "no data"
VERDICTS = (HOLDS, FAILS, OPEN, NO_DATA)
LEVEL = 0.05  # of the test over seeds, after Holm
OVERALL = ROLE_MEAN  # the `seed` of a row that judges all seeds
RIVALS = {"nrn": "top by NRN", "noncritical": "set of non-critical samples", "alive": "all alive latents"}
RIVALS |= {"random": "random sets", "size": "size-only set", "shift-selection": "mean shift"}
RIVALS |= {"shift-in_domain": "in-domain mean shift", "rotated": "rotated sets", "direction": "random directions"}
RIVALS |= {"along": "its part along the shift", "rest": "its part beside the shift", "truth": "planted direction"}
FORMS = {"set_dose": "at the set's dose", "equal_norm": "at equal norm", "own_dose": "each at its own dose"}
COLUMNS = [
    "study", "claim", "of", "says", "statistic", "unit", "bound", "control", "seed", "value", "lo", "hi", "verdict",
    "reason", "seeds", "beyond", "p", "p_holm",
]  # fmt: skip


def beyond(claim: Claim, value: float) -> bool:
    """Whether a number lies on the claim's side of its bound; the bound itself does not."""
    if claim.within is not None:
        return abs(value) < claim.within
    return value > claim.above if claim.above is not None else value < claim.below


def verdict(claim: Claim, found: Evidence) -> str:
    """holds: the whole interval is beyond the bound; fails: the estimate is not; else not decidable."""
    value, lo, hi = found.interval
    if not beyond(claim, value):
        return FAILS
    return HOLDS if beyond(claim, lo) and beyond(claim, hi) and not found.doubt else OPEN


def sign_test(k: int, n: int) -> float:
    """P(at least k of n seeds on the claim's side), were either side as likely."""
    return sum(comb(n, i) for i in range(k, n + 1)) / 2**n


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given (Holm 1979)."""
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def decidable(seeds: int, claims: int) -> bool:
    """Whether that many seeds, all on one side, can hold one of that many claims."""
    return claims * sign_test(seeds, seeds) <= LEVEL


def control(claim: Claim, study: Setting) -> str:
    """What the statistic is measured against, in words."""
    if claim.rivals:
        names = ", ".join(RIVALS.get(rival, rival) for rival in claim.rivals)
        return f"{'strongest of ' * (len(claim.rivals) > 1)}{names}, {FORMS[claim.form]}"
    return {
        "effect": "the unedited model",
        "gap_share": f"{study.reference} to {study.target}, unedited",
        "task_overlap": "independent lists within strata",
        "truth_cosine": "random sets of latents",
        "robustness": "the main procedure's set",
    }.get(claim.statistic, claim.against or "")


def judge(name: str, claims: dict[str, Claim], tables: Tables, study: Setting, seeds: list[int]) -> pd.DataFrame:
    """COLUMNS, one row per claim and seed and one over seeds (seed "ALL", value: the median).

    `seeds`: with data; `beyond`: of them on the claim's side; `p`: sign test over all seeds of the study, in which one
    without data counts against the claim; `p_holm`: over the claims `of` one kind that have data.
    """
    rows, overall = [], []
    for key, claim in claims.items():
        fixed = {"study": name, "claim": key, "of": claim.of, "says": claim.says, "statistic": claim.statistic}
        fixed |= {"unit": STATISTICS[claim.statistic].unit, "bound": claim.bound, "control": control(claim, study)}
        own = [fixed | {"seed": str(seed)} | _of_seed(claim, tables, study, seed) for seed in seeds]
        overall.append(fixed | {"seed": OVERALL} | _over_seeds(own))
        rows += [*own, overall[-1]]
    for kind in {claim.of for claim in claims.values()}:
        judged = [row for row in overall if row["of"] == kind and row["seeds"]]
        for row, p in zip(judged, holm([row["p"] for row in judged]), strict=True):
            row["p_holm"] = p
            row["verdict"], row["reason"] = _overall(claims[row["claim"]], row, len(seeds), len(judged))
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_seed(claim: Claim, tables: Tables, study: Setting, seed: int) -> dict[str, object]:
    try:
        found = evidence(claim, tables, study, seed)
    except NoData as missing:
        return {"verdict": NO_DATA, "reason": str(missing), "beyond": 0}
    said = verdict(claim, found)
    counts = int(beyond(claim, found.interval.value) and not found.doubt)
    return found.interval._asdict() | {"verdict": said, "reason": found.doubt, "beyond": counts}


def _over_seeds(rows: list[dict]) -> dict[str, object]:
    """Counts and the sign test; the verdict waits for the other claims."""
    values = [row["value"] for row in rows if row["verdict"] != NO_DATA]
    if not values:
        reasons = Counter(row["reason"] for row in rows)
        return {"verdict": NO_DATA, "reason": "; ".join(reasons), "seeds": 0, "beyond": 0}
    k = sum(row["beyond"] for row in rows)
    fails = sum(row["verdict"] == FAILS for row in rows)
    p = sign_test(k, len(rows))
    return {"value": pd.Series(values).median(), "seeds": len(values), "beyond": k, "p": p, "fails": fails}


def _overall(claim: Claim, row: dict, seeds: int, claims: int) -> tuple[str, str]:
    """Verdict over seeds and what it rests on, in words. `claims`: how many Holm's rule corrects for."""
    said = f"on the claim's side in {row['beyond']} of {seeds} seeds"
    if 2 * row["fails"] >= row["seeds"]:
        return FAILS, said
    if row["seeds"] < claim.seeds:
        return OPEN, f"{said}; needs {claim.seeds} seeds with data, has {row['seeds']}"
    if row["p_holm"] <= LEVEL:
        return HOLDS, f"{said}, p = {row['p']:.2g}, Holm {row['p_holm']:.2g}"
    few = "" if decidable(seeds, claims) else f"; {seeds} seeds cannot decide one of {claims} claims"
    return OPEN, f"{said}, p = {row['p']:.2g}, Holm {row['p_holm']:.2g}{few}"
