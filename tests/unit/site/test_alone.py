"""Edits by single latents: each is the edit by a set of one, and texts are those of the very edit."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from crosscoders import random_crosscoder
from tiny_runs import LAYER, MARKER, N, completions, relative, runner, samples

from rlgen.behaviour.settings import Evaluation
from rlgen.files import ArtifactError, write_parquet
from rlgen.interventions.edits import FeatureEdits, directions
from rlgen.interventions.procedure import Chosen
from rlgen.interventions.runner import Condition
from rlgen.interventions.subjects import Intervene
from rlgen.site import alone
from rlgen.site.alone import by_importance, chosen_doses, edit_alone
from rlgen.site.evidence import ALONE_COLUMNS, TEXT_COLUMNS

S, LATENTS, DOSE = 40, [11, 3], 2.0
CFG = Intervene(
    seed=0,
    threads=1,
    layer=LAYER,
    positions="completion",
    evaluation=Evaluation(max_new_tokens=N, answer_marker=MARKER),
    reference="base",
    selection=["max"],
    doses=[DOSE],
    random_directions=2,
    procedure="ours",
    readout="swap",
    models=["base", "rl"],
    edits={"base": ["exchange", "scale"], "rl": ["exchange"]},
    tuned="rl",
    away=[],
    random_sets=3,
    readout_variance=-1e9,
)


@pytest.fixture(scope="module")
def bench(tiny_model, tokenizer):
    """Two models on the same samples, as a job has them."""
    models = {"base": tiny_model, "rl": relative(tiny_model)}

    class Bench:
        def runner(self, state):
            return runner(models[state], tokenizer)

        def goal(self, state):
            return self.runner(state).goal()

    return Bench()


@pytest.fixture(scope="module")
def crosscoder(tiny_model):
    return replace(random_crosscoder(1, S=S, d=tiny_model.config.hidden_size), members=["base@1", "rl@5"])


@pytest.fixture(scope="module")
def tables(bench, crosscoder):
    chosen = Chosen(np.array(sorted(LATENTS)), np.array([1]), np.ones(S, dtype=bool), np.ones(S))
    doses = {("base", "exchange"): DOSE, ("rl", "exchange"): 1.0}  # scaling was refused
    return edit_alone(CFG, crosscoder, chosen, LATENTS, doses, completions(0, crosscoder.d), bench)


def by_set(bench, crosscoder, latents: list[int]):
    """The base model under the exchange of some latents, on the test half, written out: rows, and the runner."""
    mask_CS = torch.zeros(1, S, dtype=torch.bool)
    mask_CS[0, latents] = True
    edits = FeatureEdits(
        crosscoder, 0, "swap", directions(crosscoder, "exchange", True, 0), mask_CS, torch.tensor([DOSE]), None, None
    )
    test_half = [i for i, s in enumerate(samples()) if s.half == "test"]
    running = bench.runner("base")
    return running.run([Condition("set", DOSE)], edits, test_half, bench.goal("rl")), running, edits, test_half


def test_each_latent_alone_is_the_edit_by_a_set_of_one(tables, bench, crosscoder):
    table, _ = tables
    assert list(table) == ALONE_COLUMNS
    assert list(table[["state", "edit", "dose"]].drop_duplicates().itertuples(index=False, name=None)) == [
        ("base", "exchange", DOSE),
        ("rl", "exchange", 1.0),
    ]
    _, running, _, test_half = by_set(bench, crosscoder, LATENTS)
    plain = running.run([Condition("none", 0.0)], None, test_half, bench.goal("rl")).groupby("task")
    assert (table["kl_change"] != 0).any()
    for rank, latent in enumerate(LATENTS, start=1):
        rows = by_set(bench, crosscoder, [latent])[0].groupby("task")
        own = table[(table["state"] == "base") & (table["latent"] == latent)].set_index("task")
        assert set(own["rank"]) == {rank} and set(own.index) == {s.task for s in samples()} and set(own["n"]) == {2}
        for task, found in own.iterrows():
            accuracy, kl = rows["correct"].mean()[task], rows["kl"].mean()[task]
            assert found["accuracy"] == accuracy and found["kl"] == pytest.approx(kl, rel=1e-5)
            assert found["accuracy_change"] == accuracy - plain["correct"].mean()[task]
            assert found["kl_change"] == pytest.approx(kl - plain["kl"].mean()[task], rel=1e-4, abs=1e-7)


def test_texts_are_those_of_the_edit_of_the_whole_set(tables, bench, crosscoder):
    _, table = tables
    assert list(table) == TEXT_COLUMNS
    own = table[table["state"] == "base"]
    rows, running, edits, test_half = by_set(bench, crosscoder, LATENTS)
    assert own["sample"].tolist() == rows["sample"].tolist()
    assert own["right_after"].tolist() == rows["correct"].tolist()
    hook = running.hook(edits, 1, len(test_half))
    assert own["after"].tolist() == running.evaluator.score(running.model, torch.tensor(test_half), hook).completions
    assert own["before"].tolist() == running.evaluator.score(running.model, torch.tensor(test_half)).completions
    assert (own["before"] != own["after"]).any()


def test_only_the_first_test_prompts_are_answered(bench, crosscoder, monkeypatch):
    monkeypatch.setattr(alone, "PROMPTS", 1)
    chosen = Chosen(np.array(sorted(LATENTS)), np.array([1]), np.ones(S, dtype=bool), np.ones(S))
    data = completions(0, crosscoder.d)
    table, _ = edit_alone(CFG, crosscoder, chosen, LATENTS, {("base", "exchange"): DOSE}, data, bench)
    assert set(table["n"]) == {1}


def test_what_was_refused_has_no_rows(bench, crosscoder):
    chosen = Chosen(np.array([], dtype=np.int64), np.array([1]), np.ones(S, dtype=bool), np.ones(S))
    for table, columns in zip(
        edit_alone(CFG, crosscoder, chosen, [], {}, completions(0, crosscoder.d), bench),
        (ALONE_COLUMNS, TEXT_COLUMNS),
        strict=True,
    ):
        assert table.empty and list(table) == columns


def test_doses_and_latents_are_read_from_the_procedures_own_files(tmp_path):
    row = {"state": "base", "edit": "exchange", "set": "selected", "form": "own_dose", "dose": 3.0, "chosen": True}
    others = [{"chosen": False}, {"set": "random-01"}, {"form": "equal_norm"}]
    write_parquet(tmp_path / "t.parquet", pd.DataFrame([*({**row, "dose": 1.0} | other for other in others), row, row]))
    assert chosen_doses(tmp_path / "t.parquet") == {("base", "exchange"): 3.0}
    (tmp_path / "set.json").write_text(json.dumps({"latents": list(range(50, 0, -1))}))
    assert by_importance(tmp_path / "set.json") == list(range(50, 18, -1))
    (tmp_path / "set.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"set\.json"):
        by_importance(tmp_path / "set.json")
