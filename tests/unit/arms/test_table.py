"""Arms beside one another: joined by hand, and rank correlations against scipy's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from rlgen.arms.settings import Arms, SummariseArms
from rlgen.arms.table import arms_table, as_far_table, explained_table
from rlgen.files import canonical_json
from rlgen.study import slices
from rlgen.study.load import load

ROOT = Path(__file__).parents[3]

SEEDS = [3, 4]
CFG = SummariseArms(
    arms=[("rl", "reward"), ("sft", "teacher"), ("own", "own")],
    seeds=SEEDS,
    reference="base",
    target="rl",
    bootstrap=200,
)
DIRECTION = {"rl": [1.0, 0.0], "sft": [0.0, 2.0], "own": [3.0, 3.0]}
GAIN = {"base": 0.0, "rl": 0.1, "sft": -0.1, "own": 0.01}  # per checkpoint, on selection tasks


def accuracy() -> pd.DataFrame:
    rows = []
    for model in GAIN:
        for seed in SEEDS:
            for c in range(1, 2 if model == "base" else 4):
                for role, value in (("in_domain", 0.2 * c), ("selection", 0.4 + seed / 100 + c * GAIN[model])):
                    for half in ("discovery", "test"):
                        row = (model, c, c / 3, seed, role, "ALL", half, "accuracy", value if half == "test" else 9.0)
                        rows.append(row)
                        rows.append((*row[:5], "one task", half, "accuracy", 7.0))
    names = ["model", "checkpoint", "steps_share", "seed", "role", "task", "half", "metric", "value"]
    return pd.DataFrame(rows, columns=names)


def drifts() -> dict:
    def of(model, seed):
        rows = []
        for c in (1, 2, 3):
            common = {"checkpoint": c, "norm": 10.0, "displacement": float(c + seed)}
            rows.append(common | {"task": "add", "role": "in_domain", "kl": 0.1 * c * len(model), "shift": [9.0, 9.0]})
            for task in ("max", "cup"):
                shift = [c * x for x in DIRECTION[model]]
                rows.append(common | {"task": task, "role": "selection", "kl": 5.0, "shift": shift})
        return pd.DataFrame(rows)

    return {(model, seed): of(model, seed) for model, _ in CFG.arms for seed in SEEDS}


def test_rows_join_accuracy_and_distance_of_every_checkpoint():
    table = arms_table(accuracy(), drifts(), CFG)
    assert len(table) == 2 * (1 + 3 * 3)
    row = table[(table["model"] == "own") & (table["seed"] == 4) & (table["checkpoint"] == 2)].iloc[0]
    assert row["group"] == "own" and row["in_domain"] == pytest.approx(0.4) and row["selection"] == pytest.approx(0.46)
    assert row["kl"] == pytest.approx(0.6) and row["displacement"] == 6 and row["norm"] == 10
    assert row["cosine"] == pytest.approx(1 / np.sqrt(2)) and pd.isna(row["unseen"])
    ends = table[table["checkpoint"] == 3].set_index(["model", "seed"])["cosine"]
    assert ends["rl", 3] == pytest.approx(1) and ends["sft", 3] == pytest.approx(0)
    base = table[table["model"] == "base"]
    assert (base["kl"] == 0).all() and base["cosine"].isna().all() and (base["group"] == "").all()


def test_what_goes_with_who_generalizes_is_over_runs_and_their_checkpoints():
    arms = arms_table(accuracy(), drifts(), CFG)
    table = explained_table(arms, CFG)
    assert set(table["role"]) == {"selection"} and table["seed"].tolist()[:3] == ["all"] * 3
    moved = arms[arms["model"] != "base"]
    change = moved["selection"] - (0.4 + moved["seed"] / 100)
    for row in table.itertuples():
        rows = moved if row.seed == "all" else moved[moved["seed"] == row.seed]
        assert row.points == len(rows)
        assert row.value == pytest.approx(spearmanr(rows[row.predictor], change[rows.index]).statistic)
        assert row.lo <= row.value <= row.hi
    pd.testing.assert_frame_equal(table, explained_table(arms, CFG))


def test_without_runs_that_differ_there_is_no_number():
    arms = arms_table(accuracy(), drifts(), CFG).assign(kl=1.0)
    table = explained_table(arms, CFG).set_index(["seed", "predictor"])
    assert np.isnan(table.loc[("all", "kl"), ["value", "lo", "hi"]].astype(float)).all()


def test_accuracy_is_read_where_an_arm_first_moves_as_far_as_the_target():
    """The target ends at 4; sft is there halfway between its checkpoints, own never, far before its first one."""
    rows = [("base", 0.0, 0.4), ("rl", 2.0, 0.6), ("rl", 4.0, 0.8), ("sft", 3.0, 0.2), ("sft", 5.0, 0.1)]
    rows += [("own", 1.0, 0.5), ("own", 3.9, 0.5), ("far", 8.0, 0.0), ("far", 3.0, 0.9)]
    table = pd.DataFrame(rows, columns=["model", "displacement", "selection"]).assign(
        seed=3, in_domain=1.0, unseen=np.nan
    )
    table["checkpoint"] = table.groupby("model").cumcount() + 1
    arms = [(name, "") for name in ("rl", "sft", "own", "far")]
    cfg = SummariseArms(arms=arms, seeds=[3], reference="base", target="rl", bootstrap=10)
    found = as_far_table(table, cfg).set_index("model")
    assert found["reached"].to_dict() == {"rl": True, "sft": True, "own": False, "far": True}
    assert found.loc["rl", "selection"] == pytest.approx(0.8) and found.loc["rl", "share"] == 1
    assert found.loc["sft", "selection"] == pytest.approx(0.15) and found.loc["sft", "share"] == pytest.approx(0.75)
    assert np.isnan(found.loc["own", "selection"]) and (found["displacement"] == 4).all()
    assert found.loc["far", "selection"] == pytest.approx(0.2)  # halfway from the base to its first checkpoint


def test_a_model_stands_in_one_group():
    with pytest.raises(ValueError, match="expected distinct models"):
        Arms(groups={"a": ["rl", "sft"], "b": ["rl"]})
    assert Arms(groups={"b": ["rl"], "a": ["sft", "own"]}).listed() == [("sft", "a"), ("own", "a"), ("rl", "b")]


def test_the_order_of_arms_survives_their_rule():
    """Tables of drift are told apart by their place, and what a job is told has its keys sorted."""
    study = load(ROOT / "config/arms.yaml")
    told = SummariseArms.model_validate_json(canonical_json(slices.summarise_arms(study)))
    assert told.arms == study.arms.listed() and told.arms != sorted(told.arms)
