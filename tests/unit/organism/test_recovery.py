"""Recovery of the planted direction: cosines and AUCs of sets, rivals and chance."""

import numpy as np
import pandas as pd
import pytest
import torch
from crosscoders import random_crosscoder
from tiny_runs import completions, task_names

from rlgen.interventions.controls import role_shift
from rlgen.interventions.procedure import Chosen
from rlgen.organism.recovery import cosine, recovery_table, rows_of, set_direction, shift_direction
from rlgen.organism.truth import Truth

S, D, SET = 20, 6, [2, 5, 9]
RIVALS = ["shift-selection", "shift-in_domain"]


@pytest.fixture
def truth() -> Truth:
    """Careful contexts lie at +1 on axis 0, careless ones at -1, with noise on the other axes."""
    rng = torch.Generator().manual_seed(0)
    careful_N = torch.arange(60) < 30
    held_out_Nd = torch.randn(60, D, generator=rng)
    held_out_Nd[:, 0] = torch.where(careful_N, 1.0, -1.0)
    return Truth(2 * torch.eye(D)[0], held_out_Nd, careful_N)


def dictionary(truth: Truth, sign: float = 1.0):
    """The latents of SET differ between the models along the planted direction, the others at random."""
    crosscoder = random_crosscoder(5, S=S, d=D)
    crosscoder.scale_M = torch.ones(2)
    crosscoder.W_dec_SMd[SET, 1] = crosscoder.W_dec_SMd[SET, 0] + sign * truth.direction_d
    return crosscoder


def chosen(latents) -> Chosen:
    return Chosen(np.array(latents, dtype=np.int64), np.full(S, 0.1), np.arange(S) < 18, np.linspace(0, 1, S))


def values(table: pd.DataFrame, procedure: str) -> pd.DataFrame:
    return table[table["procedure"] == procedure].set_index("quantity")[["value", "lo", "hi", "chance"]]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_set_made_of_the_planted_direction_recovers_it(truth, sign):
    data = completions(0, D)
    table = recovery_table(truth, {"ours": (dictionary(truth, sign), chosen(SET), data, "swap", 0.7)}, seed=3)
    ours = values(table, "ours")
    assert ours.index.tolist() == ["set_size", "carried_share", "cosine", "auc"]
    assert ours.loc["cosine", ["value", "lo", "hi"]].tolist() == pytest.approx([sign] * 3, abs=1e-6)
    assert 0 < ours.loc["cosine", "chance"] < 1
    assert ours.loc["auc"].tolist() == [*[float(sign > 0)] * 3, 0.5]
    assert ours.loc["set_size", "value"] == 3 and ours.loc["carried_share", "value"] == 0.7
    assert values(table, "truth").loc["auc"].tolist() == [1, 1, 1, 0.5]
    assert (table["seed"] == 3).all()
    assert table.columns.tolist() == ["seed", "procedure", "quantity", "value", "lo", "hi", "chance"]


def test_an_empty_set_has_a_size_and_nothing_else(truth):
    data = completions(0, D)
    sets = {"ours": (dictionary(truth), chosen([]), data, "swap", None)}
    table = recovery_table(truth, sets, seed=0)
    assert values(table, "ours")["value"].to_dict() == {"set_size": 0}
    assert set(table["procedure"]) == {"ours", *RIVALS, "truth"}


def test_the_table_is_reproducible_and_other_procedures_change_no_row_of_a_set(truth):
    data = completions(0, D)
    ours = (dictionary(truth), chosen([1, 4, 9]), data, "swap", 0.5)
    alone = recovery_table(truth, {"ours": ours}, seed=1)
    assert alone.equals(recovery_table(truth, {"ours": ours}, seed=1))
    both = recovery_table(truth, {"ours": ours, "theirs": (dictionary(truth), chosen([0]), data, "own", 0.1)}, seed=1)
    rest = both[both["procedure"] != "theirs"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, alone)


@pytest.mark.parametrize("readout", ["swap", "own"])
def test_direction_of_a_set_against_a_loop(truth, readout):
    """sum_k E[f_k] (d_k^tuned - d_k^reference): f_k of the reference, mean over positions, then over samples."""
    crosscoder, data = dictionary(truth), completions(0, D)
    latents, per_sample = [1, 5, 11], {}
    for h_d, sample, task in zip(data.reference_Nd, data.sample_N.tolist(), task_names(data), strict=True):
        if task == "max":
            z_S = crosscoder.encode_one(h_d[None], 0, readout)[0].double()
            raw_S2d = crosscoder.decoder_raw_SMd.double()
            per_sample.setdefault(sample, []).append(
                sum(z_S[k] * (raw_S2d[k, 1] - raw_S2d[k, 0]) for k in latents).numpy()
            )
    expected_Kd = np.stack([np.mean(rows, axis=0) for rows in per_sample.values()])
    direction = set_direction(crosscoder, chosen(latents), data, readout, np.random.default_rng(0))
    np.testing.assert_allclose(direction.vector_d, expected_Kd.mean(0), rtol=1e-5, atol=1e-7)
    spread_d = expected_Kd.std(0) / np.sqrt(len(expected_Kd))
    assert (np.abs(direction.bootstrap_Rd.mean(0) - direction.vector_d) < 0.3 * spread_d + 1e-9).all()
    assert len(direction.random_Rd) == len(direction.bootstrap_Rd)


def test_random_sets_are_alive_and_free(truth):
    """With as many candidates as the set has latents, every random set is those candidates."""
    crosscoder, data = dictionary(truth), completions(0, D)
    crosscoder.free_latents = 3
    direction = set_direction(crosscoder, chosen([0, 1, 2]), data, "swap", np.random.default_rng(0))
    np.testing.assert_allclose(direction.random_Rd, np.tile(direction.vector_d, (len(direction.random_Rd), 1)))


def test_the_rivals_direction_is_the_mean_shift_of_a_role(truth):
    data = completions(2, D)
    for role in ("selection", "in_domain"):
        direction = shift_direction(data, role, np.random.default_rng(0))
        np.testing.assert_allclose(direction.vector_d, role_shift(data, role).double())
        rows = rows_of(role, direction, truth, np.random.default_rng(0))
        assert [row["quantity"] for row in rows] == ["cosine", "auc"]
        for row in rows:
            assert row["lo"] <= row["value"] <= row["hi"]
        expected = float(role_shift(data, role)[0] / role_shift(data, role).norm())
        assert rows[0]["value"] == pytest.approx(expected, rel=1e-5)
    assert 0.6 < rows[0]["chance"] < 0.95  # |cosine| of random directions in six dimensions


def test_cosine_by_hand():
    a_Rd, b_d = np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]]), np.array([1.0, 0.0])
    assert cosine(a_Rd, b_d).tolist() == [0.6, 0.0, -1.0]
