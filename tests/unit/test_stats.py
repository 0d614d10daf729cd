"""Bootstrap intervals against hand-computed numbers, a plain loop, scipy, and their nominal coverage."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.stats import mean_interval, rank_correlation, resamples, task_mean_interval


def test_two_fixed_resamples_by_hand():
    values = [1.0, 2.0, 6.0]
    weights = np.array([[1, 1, 1], [3, 0, 0]]) / 3  # resampled means 3 and 1
    assert mean_interval(values, weights, level=0.5) == pytest.approx((3.0, 1.5, 2.5))


def test_resamples_are_counts_of_a_sample_with_replacement():
    weights_DN = resamples(7, 500, np.random.default_rng(0))
    counts = weights_DN * 7
    assert np.allclose(counts.sum(axis=1), 7) and np.allclose(counts, np.round(counts))
    assert weights_DN.mean(axis=0) == pytest.approx(np.full(7, 1 / 7), abs=0.02)
    again = resamples(7, 500, np.random.default_rng(0))
    assert np.array_equal(weights_DN, again)


def test_matches_a_plain_loop_over_the_same_draws():
    values = np.random.default_rng(1).normal(size=11)
    drawn = np.random.default_rng(2).integers(0, 11, size=(200, 11))
    means = [sum(values[i] for i in row) / 11 for row in drawn]
    interval = mean_interval(values, resamples(11, 200, np.random.default_rng(2)))
    assert interval.value == pytest.approx(sum(values) / 11)
    assert (interval.lo, interval.hi) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))


@pytest.mark.parametrize("n", [20, 150])
def test_agrees_with_scipy(n):
    values = np.random.default_rng(3).exponential(size=n)
    ours = mean_interval(values, resamples(n, 20_000, np.random.default_rng(4)))
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.lo == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.hi == pytest.approx(theirs.high, abs=0.03 * width)


def test_the_paired_difference_agrees_with_scipy_and_is_narrower_than_an_unpaired_one():
    rng = np.random.default_rng(6)
    a = rng.normal(size=80)
    b = a + 0.1 * rng.normal(size=80)
    ours = mean_interval(a - b, resamples(80, 20_000, np.random.default_rng(7)))
    theirs = scipy.stats.bootstrap(
        (a, b), lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis),
        paired=True, n_resamples=20_000, method="percentile", rng=np.random.default_rng(8),
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert (ours.lo, ours.hi) == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)
    alone = mean_interval(a, resamples(80, 2000, np.random.default_rng(9)))
    assert width < 0.3 * (alone.hi - alone.lo)


def test_columns_share_their_resamples():
    values_NC = np.random.default_rng(10).normal(size=(30, 4))
    weights_DN = resamples(30, 300, np.random.default_rng(11))
    together = mean_interval(values_NC, weights_DN)
    for c in range(4):
        alone = mean_interval(values_NC[:, c], weights_DN)
        assert (together.value[c], together.lo[c], together.hi[c]) == pytest.approx(tuple(map(float, alone)))


def test_mean_over_tasks_weighs_tasks_equally_and_resamples_within_each():
    few, many = np.array([1.0, 1.0]), np.zeros(100)
    weights = [resamples(n, 100, np.random.default_rng(n)) for n in (2, 100)]
    assert task_mean_interval([few, many], weights) == pytest.approx((0.5, 0.5, 0.5))  # no spread within a task
    rng = np.random.default_rng(12)
    tasks = [rng.random(n) for n in (13, 40)]
    weights = [resamples(len(t), 50, rng) for t in tasks]
    loop = [np.mean([w[d] @ t for t, w in zip(tasks, weights, strict=True)]) for d in range(50)]
    interval = task_mean_interval(tasks, weights)
    assert (interval.lo, interval.hi) == pytest.approx(tuple(np.quantile(loop, [0.025, 0.975])))
    assert interval.value == pytest.approx(np.mean([t.mean() for t in tasks]))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10**6))
def test_the_interval_lies_in_the_range_of_the_data_and_constants_have_none(n, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2, size=n).astype(float)
    value, lo, hi = mean_interval(values, resamples(n, 100, rng))
    assert values.min() - 1e-12 <= lo <= hi <= values.max() + 1e-12
    assert value == pytest.approx(values.mean())
    assert mean_interval(np.full(n, 0.25), resamples(n, 100, rng)) == pytest.approx((0.25, 0.25, 0.25))


def test_coverage_is_near_nominal():
    rng = np.random.default_rng(13)
    hits = 0
    for _ in range(300):
        interval = mean_interval(rng.normal(size=60), resamples(60, 400, rng))
        hits += interval.lo <= 0 <= interval.hi
    assert 0.90 < hits / 300 < 0.98


def test_no_prompts_give_nan_and_bad_values_are_refused():
    assert np.isnan(mean_interval([], resamples(0, 10, np.random.default_rng(0)))).all()
    assert mean_interval(np.zeros((0, 3)), resamples(0, 10, np.random.default_rng(0))).lo.shape == (3,)
    weights = resamples(2, 10, np.random.default_rng(0))
    with pytest.raises(ValueError, match="missing"):
        mean_interval([1.0, np.nan], weights)
    with pytest.raises(ValueError, match="weights over 2"):
        mean_interval([1.0], weights)
    with pytest.raises(ValueError, match="expected one each"):
        task_mean_interval([[1.0, 2.0]], [])


def test_rank_correlation_by_hand():
    """Ranks 1 2 3 4 and 1 2.5 2.5 4: products 2.25 + 0 + 0 + 2.25 over the root of 5 times 4.5."""
    assert rank_correlation([1, 2, 3, 4], [10, 20, 20, 40]) == pytest.approx(4.5 / np.sqrt(5 * 4.5))
    assert rank_correlation([1, 2, 3], [9, 4, -1]) == pytest.approx(-1)
    assert np.isnan(rank_correlation([1, 2, 3], [5, 5, 5]))


@given(st.integers(2, 12), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_rank_correlation_agrees_with_scipy_row_by_row(n, rows, seed):
    a, b = np.random.default_rng(seed).integers(0, 5, size=(2, rows, n))  # with many ties
    found = rank_correlation(a, b)
    assert found.shape == (rows,)
    for value, x, y in zip(found, a, b, strict=True):
        varies = np.ptp(x) > 0 and np.ptp(y) > 0
        assert value == pytest.approx(scipy.stats.spearmanr(x, y).statistic if varies else np.nan, nan_ok=True)
        assert value == pytest.approx(rank_correlation(x, y), nan_ok=True)


def test_rank_correlation_refuses_what_has_no_ranks():
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(2,\), expected two of one shape"):
        rank_correlation([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="a value is missing"):
        rank_correlation([1, np.nan], [1, 2])
