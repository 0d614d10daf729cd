"""Intervals made of intervals, where the tables hold no paired one. (docs/method.md, section 10.)

MOVER (Zou and Donner 2008; Donner and Zou 2012) takes the variance near each bound from the distance between estimate
and bound. It treats both sides as independent, which is wide where they answered the same prompts.
"""

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """An estimate and the bounds of its interval."""

    value: float
    lo: float
    hi: float


def wilson(count: int, n: int, level: float = 0.95) -> Interval:
    """Share count / n with Wilson's score interval. Raises ValueError without trials."""
    if not 0 <= count <= n or n == 0:
        raise ValueError(f"{count} of {n}, expected a share of at least one")
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    centre, half = (count + z2 / 2) / (n + z2), sqrt(z2 * (count * (n - count) / n + z2 / 4)) / (n + z2)
    share = count / n
    return Interval(share, min(share, centre - half), max(share, centre + half))  # equal to the share at 0 and 1


def difference(a: Interval, b: Interval) -> Interval:
    """a - b by MOVER."""
    value = a.value - b.value
    lo = value - sqrt((a.value - a.lo) ** 2 + (b.hi - b.value) ** 2)
    return Interval(value, lo, value + sqrt((a.hi - a.value) ** 2 + (b.value - b.lo) ** 2))


def ratio(a: Interval, b: Interval) -> Interval:
    """a / b by MOVER: the ratios r at which a - r b, as an interval, ends at zero.

    Raises ValueError where b is not clearly above zero: then the ratio has no finite interval.
    """
    if b.lo <= 0 or b.hi >= 2 * b.value:
        raise ValueError(f"a denominator from {b.lo:.3g} to {b.hi:.3g} is not clearly above zero")
    below, above = b.value - b.lo, b.hi - b.value

    def end(sign: int, reach: float, spread: float) -> float:
        """Root of (a - r b)^2 = reach^2 + (r spread)^2 on one side of the estimate."""
        square = b.value**2 - spread**2
        inner = (a.value * b.value) ** 2 - square * (a.value**2 - reach**2)
        return (a.value * b.value + sign * sqrt(max(0.0, inner))) / square  # rounding may go below zero

    lo = end(-1, a.value - a.lo, above if a.lo >= 0 else below)
    return Interval(a.value / b.value, lo, end(1, a.hi - a.value, below if a.hi >= 0 else above))
