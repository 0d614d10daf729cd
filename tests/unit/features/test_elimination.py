"""Elimination: latents that stand in for one another, and the order in which they leave."""

import numpy as np
import pytest
import torch
from exchanges import constant_crosscoder, exchange_of, plain_pair
from hypothesis import given
from hypothesis import strategies as st

from rlgen.features.attribution import attribute
from rlgen.features.elimination import eliminate, mean_share, rounds

TEXTS = [([0], [1, 2]), ([1], [0]), ([2, 0], [1, 1, 2])]


@given(st.integers(1, 500), st.integers(1, 40))
def test_rounds_shrink_to_the_set(pool, count):
    sizes = rounds(pool, count)
    assert sizes == sorted(set(sizes), reverse=True)
    assert (sizes[-1] == count if pool > count else sizes == []) and all(count <= size < pool for size in sizes)


def crowd():
    """One cause is spread over 12 weak copies, another is a single latent, and two latents lead away from the goal."""
    difference_Sd = torch.zeros(15, 5, dtype=torch.float64)
    difference_Sd[:12, 0] = 0.1
    difference_Sd[12, 1] = 1.2
    difference_Sd[13:, 2] = 0.3  # the goal knows nothing of it
    goal_Vd = torch.zeros(5, 5, dtype=torch.float64)
    goal_Vd[:, :2] = 1.2
    pair = plain_pair(torch.zeros(5, 5, dtype=torch.float64), goal_Vd, TEXTS)
    return pair, exchange_of(constant_crosscoder(difference_Sd))


def test_what_is_worth_most_stays_and_what_harms_leaves_first():
    pair, exchange = crowd()
    order, doses = eliminate(pair, exchange, [[0, 1], [2]], [0.5, 1.0, 2.0], 1)
    assert sorted(order) == list(range(15)) and order[0] == 12 and set(order[-2:]) == {13, 14}
    assert set(doses) == {0, 1}


def test_a_pool_no_larger_than_the_set_is_ranked_once():
    pair, exchange = crowd()
    part = exchange_of(exchange.crosscoder, latents=[3, 12, 13])
    order, doses = eliminate(pair, part, [[0, 1, 2]], [1.0], 8)
    score_F = attribute(pair, part, {0: 1.0, 1: 1.0, 2: 1.0}).mean(0).numpy()
    assert order.tolist() == np.array([3, 12, 13])[np.argsort(-score_F)].tolist() and doses == {0: 1.0}


def test_tasks_count_alike_whatever_their_number_of_samples():
    pair, exchange = crowd()
    apart = [mean_share(pair, exchange, [samples], {0: 1.0}) for samples in ([0, 1], [2])]
    both_F = mean_share(pair, exchange, [[0, 1], [2]], {0: 1.0, 1: 1.0})
    assert both_F == pytest.approx((apart[0] + apart[1]) / 2)
