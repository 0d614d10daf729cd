"""What arms share: cosines by hand, a set against itself, chance, and what has no direction."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from crosscoders import random_crosscoder
from studies import content_of
from tiny_runs import completions

from rlgen.activations.completions import Completions
from rlgen.arms.settings import CompareArms
from rlgen.arms.shared import direction_of, shared_table
from rlgen.files import canonical_json
from rlgen.interventions.mean_change import Found
from rlgen.interventions.procedure import Chosen
from rlgen.study import slices
from rlgen.study.load import ConfigError, load

ROOT = Path(__file__).parents[3]
S, D = 24, 6
SHIFT = {"rl": [[1.0, 0.0], [3.0, 0.0]], "dpo": [[1.0, 1.0], [1.0, 1.0]], "sft": [[-2.0, 0.0], [0.0, 0.0]]}
CFG = CompareArms(
    threads=1,
    arms=[("rl", "reward"), ("dpo", "own"), ("sft", "teacher")],
    seeds=[3],
    sets=[("rl", "swap"), ("dpo", "swap")],
)


def drifts(seeds=(3,)) -> dict:
    """Two selection tasks at the end of training, another checkpoint and role before them that count for nothing."""
    found = {}
    for model, shifts in SHIFT.items():
        rows = [(2, "selection", task, shift) for task, shift in zip(("max", "cup"), shifts, strict=True)]
        rows += [(1, "selection", "max", [0.0, 9.0]), (2, "in_domain", "add", [0.0, 9.0])]
        table = pd.DataFrame(rows, columns=["checkpoint", "role", "task", "shift"])
        found |= {(model, seed): table for seed in seeds}
    return found


def found(latents, seed: int = 5) -> tuple[Found, Completions]:
    chosen = Chosen(np.array(latents, dtype=np.int64), np.array([]), np.arange(S) < 20, np.linspace(0, 1, S))
    return Found(random_crosscoder(seed, S=S, d=D), chosen, "swap"), completions(0, D, per_task=12)


def table(**sets) -> pd.DataFrame:
    rows = shared_table(drifts(), {(model, 3): one for model, one in sets.items()}, CFG)
    return rows.set_index(["kind", "model", "other"])


def test_cosines_of_shifts_are_those_of_the_last_checkpoint_over_selection_tasks():
    rows = table(rl=found([1, 4]), dpo=found([2, 7])).loc["shift"]
    assert len(rows) == 6 and (rows["seed"] == 3).all()
    assert rows.loc[("rl", "dpo"), "value"] == pytest.approx(1 / np.sqrt(2))
    assert rows.loc[("rl", "sft"), "value"] == pytest.approx(-1) == rows.loc[("sft", "rl"), "value"]


def test_a_set_against_itself_is_one_and_random_sets_are_less():
    rows = table(rl=found([1, 4, 9]), dpo=found([1, 4, 9])).loc["change"]
    same = rows.loc[("rl", "dpo")]
    assert same["value"] == pytest.approx(1) and same["lo"] <= 1 and same["chance_hi"] < 1 and same["p"] < 0.01


def test_a_change_is_the_mean_exchange_on_selection_tasks_alone():
    one, other = found([1, 4]), found([3], seed=8)
    rows = table(rl=one, dpo=other).loc["change"]
    ours, theirs = (direction_of(*side, 3, name).vector_d for side, name in ((one, "rl"), (other, "dpo")))
    by_hand = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
    assert rows.loc[("rl", "dpo"), "value"] == pytest.approx(by_hand) == rows.loc[("dpo", "rl"), "value"]
    side, data = one
    codes_NS = side.crosscoder.encode_one(data.reference_Nd, 0, "swap").double().numpy()
    tasks = [data.tasks[i] for i in data.sample_task_I]
    kept = [i for i, task in enumerate(tasks) if data.role_of[task] == "selection"]
    means_KS = np.stack([codes_NS[data.sample_N.numpy() == i].mean(0) for i in kept])
    decoder = side.crosscoder.decoder_raw_SMd.double().numpy()
    expected_d = means_KS.mean(0)[[1, 4]] @ (decoder[[1, 4], 1] - decoder[[1, 4], 0])
    assert ours == pytest.approx(expected_d, rel=1e-5) and 0 < data.samples_of_role("selection").sum() < len(tasks)


def test_an_empty_set_has_no_direction():
    rows = table(rl=found([1, 4]), dpo=found([]))
    assert "change" not in rows.index.get_level_values("kind") and len(rows) == 6


def test_the_study_of_arms_tells_which_sets_are_compared():
    study = load(ROOT / "config/arms.yaml")
    cfg = CompareArms.model_validate_json(canonical_json(slices.compare_arms(study)))
    assert [model for model, _ in cfg.sets] == [study.arm_of(name) for name in study.arms.sets]
    assert cfg.sets[0][0] == study.roles.target and len(cfg.sets) > 3


@pytest.mark.parametrize(
    ("procedure", "line"),
    [
        (
            {"dictionary": "base-sft"},
            "arms.sets: other explains sft, as another one does, expected one procedure per arm",
        ),
        ({"dictionary": "three"}, "arms.sets: other reads base, sft, rl, expected the reference base and an arm"),
        ({"dictionary": "halfway"}, "arms.sets: other explains rl@2, expected the end of an arm"),
        ({"dictionary": "beside"}, "arms.sets: other explains aim-set, expected the end of an arm"),
        (None, "arms.sets: unknown procedure 'other'"),
    ],
)
def test_a_compared_set_is_of_the_reference_and_one_arm(procedure, line):
    content = content_of("arms")
    members = {"three": ["base", "sft", "rl"], "halfway": ["base", "rl@2"], "beside": ["base", "aim-set"]}
    content["dictionaries"] |= {name: {"members": m, "recipes": ["small"]} for name, m in members.items()}
    if procedure:
        content["procedures"]["other"] = procedure | {"recipe": "small", "edits": {}}
        content["procedures"]["first"] = {"dictionary": "base-sft", "recipe": "small", "edits": {}}
    content["arms"]["sets"] = ["other", *(["first"] if procedure else [])]
    with pytest.raises(ConfigError, match=line):
        load(content)
