"""Checkpoints at equal shares of training."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlgen.checkpoints import KeepCheckpoints, checkpoint_steps


@pytest.mark.parametrize(
    ("total", "n", "steps"),
    [
        (80, 5, [16, 32, 48, 64, 80]),
        (150, 5, [30, 60, 90, 120, 150]),
        (12, 5, [2, 5, 7, 10, 12]),
        (7, 1, [7]),
        (5, 5, [1, 2, 3, 4, 5]),
    ],
)
def test_hand_computed_steps(total, n, steps):
    assert checkpoint_steps(total, n) == steps


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.integers(n, 2000), st.just(n))))
def test_steps_rise_to_the_last_one(sizes):
    total, n = sizes
    steps = checkpoint_steps(total, n)
    assert len(steps) == n and steps == sorted(set(steps)) and steps[0] >= 1 and steps[-1] == total


def test_more_checkpoints_than_steps_are_refused():
    with pytest.raises(ValueError, match="5 checkpoints in 3 training steps"):
        checkpoint_steps(3, 5)


def test_metrics_are_kept_under_our_names():
    class State:
        global_step = 4

    keep = KeepCheckpoints(10, 5, None, None, {"completions/mean_length": "completion_length"}, "rl")
    keep.on_log(None, State, None, logs={"completions/mean_length": 7, "epoch": 0.1})
    keep.on_log(None, State, None, logs=None)
    assert keep.rows == [{"step": 4, "metric": "completion_length", "value": 7.0}]
