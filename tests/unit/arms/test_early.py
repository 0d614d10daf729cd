"""What a checkpoint foretells: readings by hand, correlations against scipy's, and arms left out by a slow loop."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from rlgen.arms import early
from rlgen.arms.readouts import Watched
from rlgen.arms.settings import ForetellArms

SEEDS, CHECKPOINTS, LATENTS = [3, 4], [1, 2], 60
ARMS = [("rl", "reward"), ("sft", "teacher"), ("own", "own"), ("coin", "null")]
CFG = ForetellArms(arms=ARMS, seeds=SEEDS, reference="base", target="rl", random_sets=3, bootstrap=50)
END = {"base": 0.4, "rl": 0.9, "sft": 0.1, "own": 0.6, "coin": 0.5}  # accuracy on selection tasks at the end
WATCHED = Watched(np.full(LATENTS, 2.0), np.array([0, 1]), np.arange(LATENTS))


def moves(model: str, checkpoint: int) -> np.ndarray:
    """Latents 0 and 1 move with the gain, 2 moves most and everywhere alike, the others a little."""
    gain = END[model] - END["base"]
    change_S = np.full(LATENTS, 0.01)
    change_S[:3] = [3 * gain * checkpoint, 4 * gain * checkpoint, 50.0]
    return change_S


def drifts() -> dict:
    def of(model):
        rows = []
        for c in CHECKPOINTS:
            for task, role in (("add", "in_domain"), ("max", "selection"), ("cup", "selection")):
                sign = -1 if task == "cup" else 1  # of what cancels in a mean over tasks
                shift = [END[model] - END["base"], 5.0 * sign]
                row = {"checkpoint": c, "task": task, "role": role, "kl": 0.1 * c, "displacement": 1.0 * c}
                rows.append(row | {"shift": shift, "readout": moves(model, c).tolist()})
        return pd.DataFrame(rows)

    return {(model, seed): of(model) for model, _ in ARMS for seed in SEEDS}


def arms() -> pd.DataFrame:
    rows = []
    for seed in SEEDS:
        for model in END:
            for c in [1] if model == "base" else CHECKPOINTS:
                end = END[model] if c == 2 else 0.4
                row = {"model": model, "group": "", "seed": seed, "checkpoint": c, "in_domain": 0.5 + 0.1 * c}
                rows.append(row | {"selection": end, "unseen": np.nan})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def readings():
    return early.readings_table(drifts(), dict.fromkeys(SEEDS, WATCHED), CFG)


def value(readings, model, checkpoint, predictor, texts="selection"):
    rows = readings.query("model == @model and checkpoint == @checkpoint and predictor == @predictor")
    return rows[(rows["texts"] == texts) & (rows["seed"] == 3)]["value"].item()


def test_the_set_is_read_as_a_share_of_what_the_target_reaches(readings):
    assert value(readings, "rl", 2, "set") == pytest.approx(1)
    assert value(readings, "rl", 1, "set") == pytest.approx(0.5)
    assert value(readings, "sft", 2, "set") == pytest.approx(-0.3 / 0.5)
    assert value(readings, "own", 2, "shift") == pytest.approx(0.2 / 0.5)  # what cancels over tasks has no say
    assert value(readings, "own", 1, "kl") == pytest.approx(0.1)
    assert value(readings, "sft", 2, "own") == pytest.approx(2 * (50 + 4 * 0.3 * 2))  # the two largest, in raw units
    assert value(readings, "coin", 2, "all") == pytest.approx(
        moves("coin", 2) @ moves("rl", 2) / (moves("rl", 2) @ moves("rl", 2))
    )


def test_random_sets_are_as_large_and_share_no_latent_with_the_set(readings):
    assert {f"random-{i:02d}" for i in range(3)} <= set(readings["predictor"])
    end = early.at_end(early.role_means(drifts()["rl", 3], "selection"))
    sets = early._sets(WATCHED, end, "selection", 3, 3)
    assert all(len(s) == 2 and not set(s) & {0, 1} for name, s in sets.items() if name.startswith("random"))
    small = Watched(np.ones(LATENTS), np.array([0, 1]), np.arange(5))
    assert set(early._sets(small, end, "selection", 3, 3)) == {"set", "all"}


def test_what_is_foretold_leaves_the_target_out(readings):
    told = early.foretold_table(readings, arms(), CFG)
    assert set(told["role"]) == {"selection"}  # there are no unseen tasks
    row = told.query("seed == 'all' and checkpoint == 1 and texts == 'selection' and predictor == 'set'").iloc[0]
    assert row["runs"] == 6 and row["value"] == pytest.approx(1)
    assert np.isnan(row["beyond"])  # in-domain accuracy does not vary, so that it ranks nothing
    assert row["left_out_r2"] == pytest.approx(early.left_out_r2(*by_hand()))
    pd.testing.assert_frame_equal(told, early.foretold_table(readings, arms(), CFG))


def test_an_arm_with_fewer_checkpoints_is_left_out(readings):
    """Its first checkpoint is its last, and so nothing early."""
    short = readings[(readings["model"] != "coin") | (readings["checkpoint"] == 1)]
    told = early.foretold_table(short, arms().query("model != 'coin' or checkpoint == 1"), CFG)
    assert set(told.loc[told["seed"] == "all", "runs"]) == {4}


def by_hand():
    names = [name for name, _ in ARMS if name != "rl" for _ in SEEDS]
    gain = np.array([END[name] - END["base"] for name in names])
    return gain, gain, np.unique(names, return_inverse=True)[1]


@settings(max_examples=40)
@given(st.integers(3, 6), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_arms_left_out_are_told_by_the_others_alone(arms_, seeds, seed):
    rng = np.random.default_rng(seed)
    arm_R = np.repeat(np.arange(arms_), seeds)
    x_R, y_R = rng.integers(0, 9, arms_ * seeds).astype(float), rng.normal(size=arms_ * seeds)
    error = total = 0.0
    for left in range(len(x_R)):
        others = arm_R != arm_R[left]
        place = np.mean([(x < x_R[left]) + 0.5 * (x == x_R[left]) for x in x_R[others]])
        places = (rankdata(x_R[others]) - 0.5) / others.sum()
        fitted = np.linalg.lstsq(np.column_stack([np.ones_like(places), places]), y_R[others], rcond=None)[0]
        guess = y_R[others].mean() if np.ptp(x_R[others]) == 0 else fitted @ [1, place]
        error, total = error + (y_R[left] - guess) ** 2, total + (y_R[left] - y_R[others].mean()) ** 2
    assert early.left_out_r2(x_R, y_R, arm_R) == pytest.approx(1 - error / total, abs=1e-9)
    assert early.left_out_r2(np.exp(x_R), y_R, arm_R) == pytest.approx(early.left_out_r2(x_R, y_R, arm_R))


def test_intervals_resample_arms_with_all_their_seeds(readings):
    noisy = readings.assign(value=readings["value"] + 0.2 * readings["seed"] * (readings["model"] == "coin"))
    told = early.foretold_table(noisy, arms().assign(in_domain=np.arange(len(arms())) / 10), CFG)
    row = told.query("seed == 'all' and checkpoint == 2 and texts == 'selection' and predictor == 'set'").iloc[0]
    wide = noisy.query("texts == 'selection' and checkpoint == 2 and predictor == 'set' and model != 'rl'")
    change = wide["model"].map(END) - END["base"]
    assert row["value"] == pytest.approx(spearmanr(wide["value"], change).statistic)
    assert row["lo"] <= row["value"] <= row["hi"] and row["beyond_lo"] <= row["beyond"] <= row["beyond_hi"]
