"""Varied sets inside generation: own doses on their own tasks, one run for equal sets, answers of plain edits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from crosscoders import random_crosscoder
from tiny_runs import LAYER, MARKER, N, relative, runner, samples

from rlgen.behaviour.settings import Evaluation
from rlgen.extended.runs import COLUMNS, VarySets, own_doses, run_sets
from rlgen.extended.sets import VariedSet
from rlgen.interventions.edits import FeatureEdits, directions
from rlgen.interventions.procedure import best_dose
from rlgen.interventions.rivals import Mechanics
from rlgen.interventions.runner import Condition
from rlgen.interventions.subjects import OrganismBench
from rlgen.models.checkpoints import save_checkpoint

S, DOSES = 40, [0.5, 1.0, 2.0]
CFG = VarySets(
    seed=0,
    threads=1,
    layer=LAYER,
    positions="completion",
    models=["base", "rl"],
    reference="base",
    selection=["max"],
    doses=DOSES,
    random_directions=1,
    procedure="ours",
    score="elimination",
    readout="swap",
    tuned="rl",
    unseen=["par"],
    sizes=[1, 4],
    left_out=1,
    readout_variance=-1e9,
    evaluation=Evaluation(max_new_tokens=N, answer_marker=MARKER),
)
SETS = [
    VariedSet("size", "elimination", 4, (8, 3, 17, 11), ("max",)),
    VariedSet("size", "attribution", 4, (8, 3, 17, 11), ("max",)),
    VariedSet("rotation", "attribution", 2, (5, 6), ("par",)),
]


@pytest.fixture(scope="module")
def models(tiny_model):
    return {"base": tiny_model, "rl": relative(tiny_model)}


@pytest.fixture(scope="module")
def crosscoder(tiny_model):
    return replace(random_crosscoder(1, S=S, d=tiny_model.config.hidden_size), members=["base@1", "rl@5"])


@pytest.fixture(scope="module")
def bench(models, tokenizer, tmp_path_factory) -> OrganismBench:
    root = tmp_path_factory.mktemp("models")
    for name, model in models.items():
        save_checkpoint(model, tokenizer, root / name)
    return OrganismBench(CFG, {name: root / name for name in models}, samples())


def test_answers_are_those_of_a_plain_edit_at_the_sets_own_dose(crosscoder, bench, models, tokenizer):
    table = run_sets(CFG, crosscoder, SETS, bench)
    assert list(table.columns) == COLUMNS and set(table["state"]) == {"base", "rl"}
    assert set(table["half"]) == {"test"} and not table.duplicated(["state", "score", "kind", "sample"]).any()
    for state, towards in (("base", True), ("rl", False)):
        own = table[(table["state"] == state) & (table["kind"] == "rotation")]
        [dose] = own["dose"].unique()
        mask_1S = torch.zeros(1, S, dtype=torch.bool)
        mask_1S[0, [5, 6]] = True
        member = crosscoder.members.index("base@1" if state == "base" else "rl@5")
        direction_Sd = directions(crosscoder, "exchange", towards, member)
        edit = FeatureEdits(
            crosscoder, member, "swap", direction_Sd, mask_1S, torch.tensor([dose], dtype=torch.float32)
        )
        test = [i for i, s in enumerate(samples()) if s.half == "test"]
        plain = runner(models[state], tokenizer).run([Condition("s", dose)], edit, test)
        assert own["correct"].tolist() == plain["correct"].tolist()
        assert own["left_out"].unique().tolist() == ["max"] and own["latents"].unique().tolist() == [2]


def test_equal_sets_of_two_scores_are_told_of_both(crosscoder, bench):
    table = run_sets(CFG, crosscoder, SETS, bench)
    table = table[table["kind"] == "size"]
    by_score = [table[table["score"] == score] for score in ("elimination", "attribution")]
    assert len(by_score[0]) == len(by_score[1]) > 0
    same = ["state", "size", "dose", "sample", "correct"]
    assert by_score[0][same].reset_index(drop=True).equals(by_score[1][same].reset_index(drop=True))


def test_a_dose_is_chosen_on_the_sets_own_tasks(crosscoder, models, tokenizer):
    """Distances are made up: `max` wants dose .5, `par` wants dose 2."""
    running, goal = runner(models["base"], tokenizer), runner(models["rl"], tokenizer).goal()
    prompts = [i for i, s in enumerate(samples()) if s.half == "discovery" and s.task != "add"]
    tasks = [samples()[i].task for i in prompts]
    wanted = {"max": 0.5, "par": 2.0}
    kl_CI = np.array([[abs(dose - wanted[task]) for task in tasks] for _ in SETS for dose in DOSES])
    running.distances = lambda conditions, edits, samples, goal: kl_CI
    mechanics = Mechanics(crosscoder, "exchange", 0, "swap", True)
    assert own_doses(running, mechanics, SETS, DOSES, prompts, goal) == [0.5, 0.5, 2.0]
    assert best_dose(kl_CI[:3], tasks, DOSES) == 0.5  # of all tasks: a tie, and the smaller one


def test_a_model_that_the_readout_does_not_explain_is_not_edited(crosscoder, bench, capsys):
    table = run_sets(CFG.model_copy(update={"readout_variance": 0.999}), crosscoder, SETS, bench)
    assert table.empty and list(table.columns) == COLUMNS
    assert "base is not edited: the readout explains" in capsys.readouterr().out
