"""Recovery of the planted direction: cosines and carried shares of sets, rivals and chance."""

import numpy as np
import pandas as pd
import pytest
import torch
from crosscoders import random_crosscoder
from tiny_runs import completions, task_names

from rlgen.interventions.controls import role_shift
from rlgen.interventions.mean_change import DRAWS, Direction, Found, carried, cosine, measured
from rlgen.interventions.procedure import Chosen
from rlgen.organism.recovery import COLUMNS, alignment, recovery_table, shift_direction

S, D, SET = 20, 6, [2, 5, 9]
RIVALS = ["shift-selection", "shift-in_domain"]
TRUTH = 2 * np.eye(D)[0]


def dictionary(sign: float = 1.0):
    """The latents of SET differ between the models along the planted direction, the others at random."""
    crosscoder = random_crosscoder(5, S=S, d=D)
    crosscoder.scale_M = torch.ones(2)
    crosscoder.W_dec_SMd[SET, 1] = crosscoder.W_dec_SMd[SET, 0] + sign * torch.from_numpy(TRUTH).float()
    return crosscoder


def chosen(latents) -> Chosen:
    return Chosen(np.array(latents, dtype=np.int64), np.full(S, 0.1), np.arange(S) < 18, np.linspace(0, 1, S))


def values(table: pd.DataFrame, procedure: str, quantity: str) -> pd.DataFrame:
    own = table[(table["procedure"] == procedure) & (table["quantity"] == quantity)]
    return own.set_index("task")[["value", "lo", "hi", "chance_lo", "chance", "chance_hi", "p"]]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_set_made_of_the_planted_direction_recovers_it(sign):
    table = recovery_table(TRUTH, {"ours": (Found(dictionary(sign), chosen(SET), "swap"), completions(0, D))}, seed=3)
    row = values(table, "ours", "cosine").loc["ALL"]
    assert row[["value", "lo", "hi"]].tolist() == pytest.approx([sign] * 3, abs=1e-6)
    assert -1 < row["chance_lo"] < row["chance"] < row["chance_hi"] < 1
    assert row["p"] == (pytest.approx(0.001, abs=0.002) if sign > 0 else 1)
    assert table.query("procedure == 'ours' and quantity == 'set_size'")["value"].tolist() == [3]
    assert (table["seed"] == 3).all() and table.columns.tolist() == COLUMNS


def test_carried_shares_of_every_task_and_of_random_sets_by_hand():
    """<what the set adds, the task's shift> / ||shift||^2, read and averaged in a loop; chance is no constant."""
    crosscoder, data = dictionary(), completions(0, D)
    sets = {"ours": (Found(crosscoder, chosen(SET), "swap"), data)}
    table = values(recovery_table(TRUTH, sets, 0), "ours", "carried_share")
    assert table.index.tolist() == ["ALL", *data.tasks]
    raw_S2d, names = crosscoder.decoder_raw_SMd.double(), np.array(task_names(data))
    z_NS = crosscoder.encode_one(data.reference_Nd, 0, "swap").double()
    for task, role in (("add", "in_domain"), ("par", "unseen"), ("max", "selection")):
        rows_N = torch.from_numpy(names == task)  # every sample has as many positions: one mean
        added_d = sum(z_NS[rows_N, k].mean() * (raw_S2d[k, 1] - raw_S2d[k, 0]) for k in SET)
        shift_d = role_shift(data, role).double()
        assert table.loc[task, "value"] == pytest.approx(float(added_d @ shift_d / (shift_d @ shift_d)), rel=1e-4)
    assert table.loc["max", "value"] == table.loc["ALL", "value"]  # the only selection task
    assert (table["chance_lo"] < table["chance_hi"]).all() and table["chance"].nunique() > 1
    assert carried(np.array([[3.0, 1.0], [-1.0, 0.0]]), np.array([2.0, 0.0])).tolist() == [1.5, -0.5]


def test_chance_is_what_random_sets_reach_and_p_counts_them():
    """Random draws at 0, .01, ..., .99: quantiles of these, a value of .9 is reached by 10 of 100; intervals apart."""
    random_Rd = np.arange(100)[:, None] / 100
    direction = Direction(np.array([0.9]), np.linspace(0.7, 1.1, 41)[:, None], random_Rd)
    row = measured({"quantity": "x"}, direction, lambda rows_Rd: rows_Rd[:, 0])
    assert (row["value"], row["chance"], row["p"]) == (0.9, pytest.approx(0.495), (1 + 10) / 101)
    assert (row["chance_lo"], row["chance_hi"]) == (pytest.approx(0.02475), pytest.approx(0.96525))
    assert (row["lo"], row["hi"]) == (pytest.approx(0.71), pytest.approx(1.09))


def test_values_beyond_one_are_not_clipped():
    crosscoder = dictionary()
    crosscoder.W_dec_SMd[:, 1] *= 50
    table = recovery_table(TRUTH, {"ours": (Found(crosscoder, chosen(SET), "swap"), completions(0, D))}, 0)
    assert values(table, "ours", "carried_share").abs().max().max() > 1


def test_an_empty_set_has_a_size_and_nothing_else():
    table = recovery_table(TRUTH, {"ours": (Found(dictionary(), chosen([]), "swap"), completions(0, D))}, seed=0)
    own = table[table["procedure"] == "ours"]
    assert own[["quantity", "value"]].values.tolist() == [["set_size", 0]]
    assert set(table["procedure"]) == {"ours", *RIVALS}


def test_the_table_is_reproducible_and_other_procedures_change_no_row_of_a_set():
    data = completions(0, D)
    ours = (Found(dictionary(), chosen([1, 4, 9]), "swap"), data)
    alone = recovery_table(TRUTH, {"ours": ours}, seed=1)
    assert alone.equals(recovery_table(TRUTH, {"ours": ours}, seed=1))
    both = recovery_table(TRUTH, {"ours": ours, "theirs": (Found(dictionary(), chosen([0]), "own"), data)}, seed=1)
    rest = both[both["procedure"] != "theirs"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, alone)


@pytest.mark.parametrize("readout", ["swap", "own"])
def test_direction_of_a_set_against_a_loop(readout):
    """sum_k E[f_k] (d_k^tuned - d_k^reference): f_k of the reference, mean over positions, then over samples."""
    crosscoder, data = dictionary(), completions(0, D)
    latents, per_sample = [1, 5, 11], {}
    for h_d, sample, task in zip(data.reference_Nd, data.sample_N.tolist(), task_names(data), strict=True):
        if task == "max":
            z_S = crosscoder.encode_one(h_d[None], 0, readout)[0].double()
            raw_S2d = crosscoder.decoder_raw_SMd.double()
            per_sample.setdefault(sample, []).append(
                sum(z_S[k] * (raw_S2d[k, 1] - raw_S2d[k, 0]) for k in latents).numpy()
            )
    expected_Kd = np.stack([np.mean(rows, axis=0) for rows in per_sample.values()])
    exchange = Found(crosscoder, chosen(latents), readout).exchange(data)
    rows_K = np.array([data.tasks[task] == "max" for task in data.sample_task_I])
    direction = exchange.direction(rows_K, [np.array(latents)], np.random.default_rng(0))
    np.testing.assert_allclose(direction.vector_d, expected_Kd.mean(0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(direction.random_Rd, direction.vector_d[None])
    spread_d = expected_Kd.std(0) / np.sqrt(len(expected_Kd))
    assert (np.abs(direction.bootstrap_Rd.mean(0) - direction.vector_d) < 0.3 * spread_d + 1e-9).all()


def test_random_sets_are_alive_and_free_and_as_large_as_the_set():
    """With as many candidates as the set has latents, every random set is those candidates."""
    crosscoder, rng = dictionary(), np.random.default_rng(0)
    sets = Found(crosscoder, chosen([1, 4]), "swap").exchange(completions(0, D)).random_sets(rng)
    assert len(sets) == DRAWS and all(len(set(latents)) == 2 and max(latents) < 18 for latents in sets)
    crosscoder.free_latents = 3
    few = Found(crosscoder, chosen([0, 1, 2]), "swap").exchange(completions(0, D)).random_sets(rng)
    assert {tuple(sorted(latents)) for latents in few} == {(0, 1, 2)}


def test_the_rivals_direction_is_the_mean_shift_of_a_role():
    data = completions(2, D)
    for role in ("selection", "in_domain"):
        direction = shift_direction(data, role, np.random.default_rng(0))
        np.testing.assert_allclose(direction.vector_d, role_shift(data, role).double())
        row = alignment(role, direction, TRUTH)
        assert row["lo"] <= row["value"] <= row["hi"]
        expected = float(role_shift(data, role)[0] / role_shift(data, role).norm())
        assert row["value"] == pytest.approx(expected, rel=1e-5)
    # Cosines of random directions in six dimensions lie around 0 with standard deviation 1 / sqrt(6).
    assert (
        row["chance"] == pytest.approx(0, abs=0.06) and 0.6 < row["chance_hi"] < 0.9 and -0.9 < row["chance_lo"] < -0.6
    )


def test_cosine_by_hand():
    a_Rd, b_d = np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]]), np.array([1.0, 0.0])
    assert cosine(a_Rd, b_d).tolist() == [0.6, 0.0, -1.0]
