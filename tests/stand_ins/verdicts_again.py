"""Intervals and verdicts once more, written from docs/method.md (section 10) without the project's code.

A ratio's bounds are found by bisection here, and not by a formula.
"""

from math import comb
from typing import NamedTuple

import numpy as np

Z = 1.959963984540054


class Missing(Exception):
    """The tables cannot tell."""


class Found(NamedTuple):
    value: float
    lo: float
    hi: float
    doubt: bool = False  # a rival is missing, or too few members of a family are beaten


def wilson(count: int, n: int) -> Found:
    p, z2 = count / n, Z**2
    half = Z * np.sqrt(p * (1 - p) / n + z2 / (4 * n**2))
    centre = p + z2 / (2 * n)
    return Found(p, max(0.0, (centre - half) / (1 + z2 / n)), min(1.0, (centre + half) / (1 + z2 / n)))


def minus(a: Found, b: Found) -> Found:
    value = a.value - b.value
    lo = value - np.hypot(a.value - a.lo, b.hi - b.value)
    return Found(value, lo, value + np.hypot(a.hi - a.value, b.value - b.lo))


def over(a: Found, b: Found) -> Found:
    """The ratios r at which a - r b, as an interval, ends at zero, by bisection."""
    if b.lo <= 0 or b.hi >= 2 * b.value:
        raise Missing

    def end(side: int) -> float:
        def at(r: float) -> float:
            scaled = Found(r * b.value, *sorted((r * b.lo, r * b.hi)))
            return minus(a, scaled)[side]

        low, high = -100.0, 100.0
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if at(middle) > 0 else (low, middle)
        return low

    return Found(a.value / b.value, end(1), end(2))


def over_seeds(claims: dict, seeds: list[int], ledger: dict) -> dict[tuple[str, str], dict]:
    """The sign test over seeds, Holm over the claims of one heading that have data."""
    n, rows = len(seeds), {}
    for name in claims:
        said = [ledger[name, str(seed)]["verdict"] for seed in seeds]
        k = sum(ledger[name, str(seed)]["counts"] for seed in seeds)
        data = n - said.count("no data")
        p = sum(comb(n, i) for i in range(k, n + 1)) / 2**n
        rows[name] = {"data": data, "fails": said.count("fails")} | ({"p": p} if data else {})
    for heading in {claim["of"] for claim in claims.values()}:
        tested = sorted((rows[c]["p"], c) for c in claims if claims[c]["of"] == heading and rows[c]["data"])
        reached = 0.0
        for i, (p, name) in enumerate(tested):
            reached = rows[name]["p_holm"] = max(reached, min(1.0, (len(tested) - i) * p))
    for name, row in rows.items():
        if not row["data"]:
            row["verdict"] = "no data"
        elif row["fails"] >= row["data"] / 2:
            row["verdict"] = "fails"
        else:
            enough = row["data"] >= claims[name].get("seeds", 5) and row["p_holm"] <= 0.05
            row["verdict"] = "holds" if enough else "not decidable"
    return {(name, "ALL"): row for name, row in rows.items()}


def beyond(claim: dict, number: float) -> bool:
    if "within" in claim:
        return -claim["within"] < number < claim["within"]
    return number > claim["above"] if "above" in claim else number < claim["below"]


def verdict(claim: dict, found: Found) -> str:
    if not beyond(claim, found.value):
        return "fails"
    sure = beyond(claim, found.lo) and beyond(claim, found.hi) and not found.doubt
    return "holds" if sure else "not decidable"
