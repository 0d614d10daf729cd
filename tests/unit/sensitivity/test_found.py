"""What a variant finds: a permuted copy is the same, random directions are nothing, numbers by hand."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from crosscoders import random_crosscoder
from scipy.stats import spearmanr
from tiny_runs import completions, task_names

from rlgen.interventions.mean_change import Found
from rlgen.interventions.procedure import Chosen
from rlgen.sensitivity.found import Samples, found_rows, quality_rows, rank_correlations

S, D = 24, 6
SET = np.array([1, 4, 9])
ALIVE = np.arange(S) < 20


def chosen(latents, alive_S=ALIVE) -> Chosen:
    return Chosen(np.sort(np.asarray(latents, dtype=np.int64)), np.array([]), alive_S, np.linspace(0, 1, S))


def found(seed: int = 5, latents=SET) -> Found:
    return Found(random_crosscoder(seed, S=S, d=D), chosen(latents), "swap")


def permuted(main: Found, order: np.ndarray) -> Found:
    """The same dictionary with latent order[i] in place i."""
    c, place = main.crosscoder, np.argsort(order)
    moved = dataclasses.replace(
        c, W_enc_MdS=c.W_enc_MdS[..., order], b_enc_S=c.b_enc_S[order], W_dec_SMd=c.W_dec_SMd[order]
    )
    return Found(moved, chosen(place[main.chosen.latents], main.chosen.alive_S[order]), main.readout)


@pytest.fixture
def data():
    """Twelve samples per task, so that there are enough critical ones."""
    return completions(0, D, per_task=12)


def measured(ours: Found, main: Found, data, seed: int = 3) -> dict[tuple[str, str], dict]:
    rows = found_rows(ours, main, data, Samples.of(data, ["max"], "gained"), 0.7, seed)
    return {(row["quantity"], row.get("rival", "")): row for row in rows}


def test_a_permuted_copy_of_the_main_recipe_is_the_same(data):
    main = found()
    rows = measured(permuted(main, np.random.default_rng(1).permutation(S)), main, data)
    for quantity in ("matched_share", "overlap", "direction", "carried_rank"):
        assert rows[quantity, ""]["value"] == pytest.approx(1, abs=1e-6), quantity
    assert rows["overlap", ""]["chance_hi"] < 1 and rows["direction", ""]["p"] < 0.01
    assert (rows["set_size", ""]["value"], rows["alive", ""]["value"], rows["set_share", ""]["value"]) == (3, 20, 0.15)


def test_a_dictionary_of_random_directions_is_nothing(data):
    main, other = found(), found(seed=77)
    other.crosscoder.W_dec_SMd[:] = torch.randn(S, 2, D, generator=torch.Generator().manual_seed(9))
    rows = measured(other, main, data)
    assert rows["matched_share", ""]["value"] <= rows["matched_share", ""]["chance_hi"] + 0.15
    assert rows["overlap", ""]["value"] <= rows["overlap", ""]["chance_hi"]
    for quantity in ("direction", "carried_rank"):
        row = rows[quantity, ""]
        assert row["chance_lo"] <= row["value"] <= row["chance_hi"] and row["p"] > 0.025, quantity


def test_independent_dictionaries_lie_within_chance_as_often_as_they_should(data):
    """20 random dictionaries against one: about 19 of 20 within 95 % of random sets, for set and direction."""
    main, inside = found(), []
    for seed in range(100, 120):
        rows = measured(found(seed), main, data)
        inside.append(
            [
                rows[q, ""]["chance_lo"] <= rows[q, ""]["value"] <= rows[q, ""]["chance_hi"]
                for q in ("direction", "overlap")
            ]
        )
    assert np.mean(inside, axis=0).min() >= 0.75


def test_direction_and_its_rival_by_hand(data):
    ours, main = found(8, [2, 3]), found()
    rows_N = torch.tensor([name == "max" for name in task_names(data)])

    def added(side: Found) -> np.ndarray:
        z_NS = side.crosscoder.encode_one(data.reference_Nd[rows_N], 0, "swap").double()
        raw_S2d = side.crosscoder.decoder_raw_SMd.double()
        return sum(z_NS[:, k].mean() * (raw_S2d[k, 1] - raw_S2d[k, 0]) for k in side.chosen.latents).numpy()

    def cosine(a, b) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    shift_d = (data.tuned_Nd - data.reference_Nd)[rows_N].double().mean(0).numpy()
    rows = measured(ours, main, data)
    assert rows["direction", ""]["value"] == pytest.approx(cosine(added(ours), added(main)), abs=1e-5)
    assert rows["direction", "shift-selection"]["value"] == pytest.approx(cosine(shift_d, added(main)), abs=1e-5)
    assert rows["direction", ""]["lo"] <= rows["direction", ""]["value"] <= rows["direction", ""]["hi"]


def test_rank_correlation_of_carried_shares_by_hand(data):
    """Shares sample by sample in a loop, correlated by scipy; only critical samples of selection tasks count."""
    data.reference_correct_I[np.flatnonzero(data.sample_task_I == 1)[::3]] = True  # no longer critical
    ours, main = found(8, [2, 3]), found()
    critical = np.flatnonzero((data.sample_task_I == data.tasks.index("max")) & ~data.reference_correct_I)
    shares = []
    for side in (ours, main):
        exchange = side.exchange(data)
        own = []
        for i in critical:
            shift_d = (data.tuned_Nd - data.reference_Nd)[data.sample_N == i].double().mean(0).numpy()
            added_d = sum(exchange.z_KS[i, k] * exchange.value_Sd[k] for k in side.chosen.latents)
            own.append(added_d @ shift_d / (shift_d @ shift_d))
        shares.append(own)
    row = measured(ours, main, data)["carried_rank", ""]
    assert len(critical) == 8 and row["value"] == pytest.approx(spearmanr(*shares).statistic)
    assert row["lo"] <= row["value"] <= row["hi"] and -1 <= row["chance_lo"] < row["chance_hi"] <= 1


def test_rank_correlation_is_spearmans_with_ties_and_none_without_variation():
    a_RK, b_RK = np.array([[1.0, 2, 2, 5], [3, 1, 1, 0]]), np.array([[0.0, 4, 1, 1], [1, 1, 2, 2]])
    expected = [spearmanr(a, b).statistic for a, b in zip(a_RK, b_RK, strict=True)]
    assert rank_correlations(a_RK, b_RK) == pytest.approx(expected)
    assert rank_correlations(np.ones((1, 4)), b_RK[:1]).tolist() == [0]


def test_the_size_only_set_is_the_largest_mean_change(data):
    main = found()
    exchange = main.exchange(data)
    rows_K = data.sample_task_I == data.tasks.index("max")
    size_S = exchange.z_KS[rows_K].mean(0) * np.linalg.norm(exchange.value_Sd, axis=1)
    largest = sorted(np.flatnonzero(ALIVE), key=lambda k: -size_S[k])[:3]
    row = measured(main, found(latents=largest), data)["overlap", "size"]
    assert row["value"] == 1


def test_what_cannot_be_compared_is_left_out_and_said(data):
    empty = found(latents=[])
    for ours, main in ((empty, found()), (found(), empty)):
        rows = measured(ours, main, data)
        assert {quantity for quantity, _ in rows} == {"set_size", "alive", "set_share", "matched_share"}
    data.reference_correct_I[:] = True
    row = measured(found(), found(), data)["carried_rank", ""]
    assert np.isnan(row["value"]) and row["note"] == "0 critical samples, fewer than 3"


def test_quality_is_carried_over_by_member():
    quality = pd.DataFrame({"member": ["base@1", "rl@5"], "fve": [0.9, 0.8], "fve_swap": [0.7, 0.6], "l0": [8.0, 8.0]})
    rows = quality_rows(quality)
    assert {"quantity": "fve_swap", "state": "rl@5", "value": 0.6} in rows and len(rows) == 6
