"""Sets with every few tasks left out in turn."""

import numpy as np
import pytest

from rlgen.features.rotation import rotated_sets

TASKS = ["a", "b", "c", "d"]


def sets(share_TS, **changes):
    given = {"has_samples_T": np.ones(4, bool), "pool_S": np.ones(3, bool), "cut": "top", "amount": 1} | changes
    return rotated_sets(share_TS, TASKS, **given)


def test_every_pair_by_hand():
    """Latent 0 belongs to a, latent 1 to b, latent 2 a little to all."""
    share_TS = np.array([[0.9, 0, 0.3], [0, 0.9, 0.3], [0, 0, 0.3], [0, 0, 0.3]])
    found = {names: np.flatnonzero(set_S).tolist() for names, set_S in sets(share_TS).items()}
    assert len(found) == 6 and found["a", "b"] == [2]
    assert found["b", "c"] == [0] and found["a", "d"] == [1] and found["c", "d"] == [0]  # a tie goes to the lower


def test_a_task_that_is_left_out_has_no_say():
    rng = np.random.default_rng(0)
    share_TS = rng.random((4, 3))
    before = sets(share_TS, amount=2)
    share_TS[3] = rng.random(3) * 100
    after = sets(share_TS, amount=2)
    assert all((before[names] == after[names]).all() for names in before if "d" in names)


def test_dead_latents_and_tasks_without_samples_do_not_choose():
    share_TS = np.array([[0.1, 0.9, 0.2]] * 4)
    pool_S = np.array([True, False, True])
    assert all(set_S.tolist() == [False, False, True] for set_S in sets(share_TS, pool_S=pool_S).values())
    assert not any(set_S.any() for set_S in sets(share_TS, has_samples_T=np.zeros(4, bool)).values())
    with pytest.raises(ValueError, match="4 of 4 tasks left out, expected 1 to 3"):
        sets(share_TS, left_out=4)
