"""Checkpoints at equal shares of training."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlgen.training.trainer import checkpoint_steps, curve_rows


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


def test_curves_are_the_logged_metrics_under_our_names():
    history = [
        {"loss": 0.5, "completions/mean_length": 7, "epoch": 0.1, "step": 4},
        {"loss": float("nan"), "step": 5},
        {"train_loss": 0.4, "step": 5},
    ]
    rows = curve_rows(history, {"completions/mean_length": "completion_length", "loss": "loss"})
    assert rows[:2] == [
        {"step": 4, "metric": "completion_length", "value": 7.0},
        {"step": 4, "metric": "loss", "value": 0.5},
    ]
    assert len(rows) == 3 and rows[2]["step"] == 5 and math.isnan(rows[2]["value"])
