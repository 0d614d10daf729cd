"""Rewards of RL: right answers, a coin, and a training whose rewards never differ."""

from types import SimpleNamespace

import numpy as np
import pytest

from rlgen.files import ArtifactError
from rlgen.training.grpo import NeedsSpread, coin, outcome


def test_an_outcome_is_one_for_a_right_answer():
    reward = outcome(lambda texts, golds: [t == g for t, g in zip(texts, golds, strict=True)])
    turn = [{"role": "assistant", "content": "4"}]
    assert reward(["4", "5", turn], answer=["4", "4", "4"], prompts=[]) == [1.0, 0.0, 1.0]


def test_a_coin_is_fair_and_falls_alike_whenever_it_is_thrown():
    def throws(seed, step, n=64):
        return coin(seed)(["anything"] * n, trainer_state=SimpleNamespace(global_step=step), answer=[])

    assert throws(0, 3) == throws(0, 3) != throws(1, 3) and throws(0, 3) != throws(0, 4)
    many = [value for step in range(100) for value in throws(0, step)]
    assert set(many) == {0.0, 1.0} and abs(np.mean(many) - 0.5) < 0.02  # 6,400 throws: 3 deviations


def state(*shares):
    return SimpleNamespace(
        log_history=[{"frac_reward_zero_std": s, "reward": 0.0, "step": i} for i, s in enumerate(shares)]
    )


def test_a_training_without_unequal_rewards_ends_with_one_line():
    check = NeedsSpread("rl", 3)
    for fine in (state(1, 1), state(1, 0.9, 1), state(1, 1, 0), state(1, 0.5, 1, 1), state(1, 1, 0.5, 1, 1, 1)):
        check.on_log(None, fine, None)
    with pytest.raises(
        ArtifactError, match=r"models\.rl: in 3 steps all completions .* the same reward \(mean 0\.00\)"
    ):
        check.on_log(None, state(1, 1, 1), None)
