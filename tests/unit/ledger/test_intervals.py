"""Intervals made of intervals: hand-computed, limits, and coverage by simulation."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlgen.ledger.intervals import Interval, difference, ratio, wilson


def test_wilson_by_hand():
    # 8 of 10, z = 1.959964: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    assert wilson(8, 10) == pytest.approx((0.8, 0.4901625, 0.9433178), abs=1e-6)
    assert wilson(0, 10) == pytest.approx((0, 0, 0.2775328), abs=1e-6)
    assert wilson(10, 10).hi == 1
    for count, n in ((1, 0), (-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="expected a share"):
            wilson(count, n)


def test_difference_by_hand():
    a, b = Interval(0.8, 0.7, 0.86), Interval(0.5, 0.42, 0.59)
    expected = (0.3, 0.3 - sqrt(0.1**2 + 0.09**2), 0.3 + sqrt(0.06**2 + 0.08**2))
    assert difference(a, b) == pytest.approx(expected)


def test_ratio_by_hand():
    # lo: (a - r b)^2 = .05^2 + (.04 r)^2 with a = .5, b = .6: r = .7415; hi with .06 and .03: r = .9419
    found = ratio(Interval(0.5, 0.45, 0.56), Interval(0.6, 0.57, 0.64))
    for r, reach, spread in ((found.lo, 0.05, 0.04), (found.hi, 0.06, 0.03)):
        assert (0.5 - r * 0.6) ** 2 == pytest.approx(reach**2 + (r * spread) ** 2)
    assert found.value == pytest.approx(5 / 6) and found.lo < found.value < found.hi
    exact = ratio(Interval(0.5, 0.4, 0.6), Interval(0.5, 0.5, 0.5))
    assert exact == pytest.approx((1, 0.8, 1.2))  # a denominator without error only scales


@pytest.mark.parametrize("b", [Interval(0.1, -0.02, 0.2), Interval(0.1, 0.01, 0.3), Interval(-0.4, -0.5, -0.3)])
def test_ratio_to_next_to_nothing_is_refused(b):
    with pytest.raises(ValueError, match="not clearly above zero"):
        ratio(Interval(0.5, 0.4, 0.6), b)


@given(
    st.floats(-1, 1), st.floats(0.001, 0.3), st.floats(0.001, 0.3), st.floats(0.2, 1), st.floats(0, 0.1),
    st.floats(0, 0.1),
)  # fmt: skip
def test_ratio_is_an_interval_and_its_ends_lie_at_zero(a, below, above, b, less, more):
    top, bottom = Interval(a, a - below, a + above), Interval(b, b - less, b + more)
    found = ratio(top, bottom)
    assert found.lo <= found.value <= found.hi
    for r, side in ((found.lo, "lo"), (found.hi, "hi")):  # a - r b, as an interval, ends at zero
        scaled = Interval(r * b, *sorted((r * bottom.lo, r * bottom.hi)))
        assert getattr(difference(top, scaled), side) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("p", "q"), [(0.8, 0.3), (0.98, 0.9)])
def test_intervals_cover_by_simulation(p, q):
    rng, n, draws = np.random.default_rng(0), 200, 2000
    counts = rng.binomial(n, [p, q], size=(draws, 2))
    inside = [0, 0]
    for a, b in counts:
        sides = wilson(int(a), n), wilson(int(b), n)
        for i, (found, truth) in enumerate(((difference(*sides), p - q), (ratio(*sides), p / q))):
            inside[i] += found.lo <= truth <= found.hi
    assert all(0.93 < hits / draws < 0.975 for hits in inside)
