"""Whole interventions on shipped tasks: which rows they give, and that an edit of dose 0 is no edit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from benchmark_models import made, model_of, tokenizer_of
from crosscoders import random_crosscoder
from tiny_runs import completions

from rlgen.interventions import benchmarks as module
from rlgen.interventions.benchmarks import (
    BenchmarkBench,
    BenchmarkRunner,
    ExportEditBenchmarks,
    InterveneBenchmarks,
    SteerBenchmarks,
)
from rlgen.interventions.controls import role_shift
from rlgen.interventions.edits import FeatureEdits, VectorEdits, directions, mean_norms
from rlgen.interventions.exports import export_edit
from rlgen.interventions.procedure import Chosen
from rlgen.interventions.runner import Condition
from rlgen.interventions.runs import COLUMNS, run_procedure, run_steering
from rlgen.models.checkpoints import save_checkpoint

LAYER, S, LATENTS, DOSES = 1, 24, [2, 5, 11], [0.0, 0.5, 2.0]
ROLES = {"aime24": "in_domain", "arc_challenge": "selection", "piqa": "unseen"}
PER_HALF, DIRECTIONS, SETS = 2, 2, 3
SCORES = ["correct", "format_blind", "answer_logprob", "kl"]
EDITS = {"base": ["exchange", "scale", "add"], "rl": ["exchange", "disable"]}
INSIDE = {
    "seed": 0,
    "threads": 1,
    "layer": LAYER,
    "positions": "completion",
    "reference": "base",
    "selection": ["arc_challenge"],
    "doses": DOSES,
    "random_directions": DIRECTIONS,
    "benchmarks": {task: {"revision": "r"} for task in ROLES},
    "evaluation": {"batch_size": 7, "max_new_tokens": 8, "completion_tokens": 6},
}
INTERVENE = InterveneBenchmarks(
    **INSIDE,
    procedure="ours",
    readout="swap",
    models=["base", "rl"],
    edits=EDITS,
    tuned="rl",
    away=[],
    random_sets=SETS,
    readout_variance=-1e9,
)
STEER = SteerBenchmarks(**INSIDE, models=["base", "rl"], states=["base", "rl"], target="rl", truth_doses=[9.0])
N, TEST = 2 * PER_HALF * len(ROLES), PER_HALF * len(ROLES)


@pytest.fixture(scope="module")
def bench_of(tmp_path_factory):
    """bench_of(cfg): two random models on tasks of different roles, the settings' own, as the scripts make it."""
    root = tmp_path_factory.mktemp("bench")
    for seed, name in enumerate(("base", "rl")):
        save_checkpoint(model_of("qwen3", seed), tokenizer_of("qwen3"), root / name)
    found = [(made(task, root, PER_HALF)[0].samples, role) for task, role in ROLES.items()]
    samples = [replace(sample, role=role) for some, role in found for sample in some]
    folders = {name: root / name for name in ("base", "rl")}

    def bench(cfg):
        own, docs = [s for s in samples if s.task in cfg.benchmarks], [root / f"{t}.docs.jsonl" for t in cfg.benchmarks]
        return BenchmarkBench(cfg, folders, own, docs, torch.device("cpu"))

    return bench


@pytest.fixture(scope="module")
def crosscoder():
    return replace(random_crosscoder(3, S=S, d=32), members=["base@1", "rl@1"])


def chosen(latents=LATENTS) -> Chosen:
    """All alive; NRN falls with the index, so that the most specific latents are 0, 1 and 2."""
    return Chosen(np.array(latents, dtype=np.int64), np.array([1, 3]), np.ones(S, dtype=bool), np.linspace(1, 0, S))


@pytest.fixture(scope="module")
def effects(bench_of, crosscoder) -> pd.DataFrame:
    return run_procedure(INTERVENE, crosscoder, chosen(), completions(0, 32), bench_of(INTERVENE))[0]


@pytest.fixture(scope="module")
def steering(bench_of) -> pd.DataFrame:
    return run_steering(STEER, None, completions(0, 32), bench_of(STEER))


def assert_same_scores(first: pd.DataFrame, second: pd.DataFrame) -> None:
    """Row by row, of the same samples."""
    assert first["sample"].tolist() == second["sample"].tolist() and len(first)
    for column in SCORES:
        np.testing.assert_allclose(
            first[column].astype(float), second[column].astype(float), rtol=1e-4, atol=1e-5, err_msg=column
        )


@pytest.mark.parametrize(("state", "kind"), [(state, kind) for state, kinds in EDITS.items() for kind in kinds])
def test_an_edit_of_dose_0_changes_nothing(effects, steering, state, kind):
    curve = effects[(effects["state"] == state) & (effects["edit"] == kind) & (effects["set"] == "selected")]
    none = steering[(steering["state"] == state) & (steering["edit"] == "none") & (steering["half"] == "test")]
    assert_same_scores(curve[curve["dose"] == 0], none)
    assert (curve.loc[curve["dose"] == 0, "delta_norm"] == 0).all()
    strong = curve[curve["dose"] == 2]
    assert (strong["delta_norm"] > 0).all()  # and one that does something shows in every task's numbers
    for (_, before), (_, after) in zip(none.groupby("task"), strong.groupby("task"), strict=True):
        assert np.abs(before["kl"].to_numpy() - after["kl"].to_numpy()).max() > 1e-3


@pytest.mark.parametrize(("state", "kind"), [(state, kind) for state, kinds in EDITS.items() for kind in kinds])
def test_rows_of_an_edit(effects, state, kind):
    """The set at every dose, every rival in three forms, all on the test half of every task."""
    table = effects[(effects["state"] == state) & (effects["edit"] == kind)]
    sets = ["shift-selection", "shift-in_domain", "nrn", "size", "noncritical", "complement", "alive"]
    sets += [*(f"direction-{i:02d}" for i in range(DIRECTIONS)), *(f"random-{i:02d}" for i in range(SETS))]
    sets += [*(f"rotated-{i:02d}" for i in range(SETS)), "along", "rest"] if kind == "exchange" else []
    assert table["set"].value_counts().to_dict() == {"selected": TEST * len(DOSES)} | dict.fromkeys(sets, 3 * TEST)
    controls, curve = table[table["set"] != "selected"], table[table["set"] == "selected"]
    assert set(table["half"]) == {"test"} and curve["kl"].notna().all() and controls["kl"].isna().all()
    assert curve.loc[curve["chosen"], "dose"].nunique() == 1 and controls["chosen"].all()
    assert dict(zip(table["task"], table["role"], strict=True)) == ROLES
    assert not table.duplicated(["set", "form", "dose", "sample"]).any()


def test_distances_are_those_of_a_run(bench_of, crosscoder):
    """For tasks of either kind, nothing generated or ranked; and a dose is the best of these."""
    bench = bench_of(INTERVENE)
    running, goal, some = bench.runner("base"), bench.goal("rl"), [0, 2, 5, 9]
    mask_CS = torch.zeros(2, S, dtype=torch.bool)
    mask_CS[:, LATENTS] = True
    direction_Sd = directions(crosscoder, "exchange", True)
    edits = FeatureEdits(crosscoder, 0, "swap", direction_Sd, mask_CS, torch.tensor([0.5, 2.0]))
    rows = running.run([Condition("a", 0.5), Condition("a", 2.0)], edits, some, goal)
    np.testing.assert_allclose(running.distances(2, edits, some, goal).ravel(), rows["kl"], rtol=1e-4, atol=1e-6)


def test_the_edit_is_the_sets_exchange(effects, bench_of, crosscoder):
    """Against a runner that is given model, layer, positions and latents by hand."""
    bench = bench_of(INTERVENE)
    mask_CS = torch.zeros(1, S, dtype=torch.bool)
    mask_CS[0, LATENTS] = True
    for state, towards, member in (("base", True, 0), ("rl", False, 1)):
        direction_Sd = directions(crosscoder, "exchange", towards)
        edits = FeatureEdits(crosscoder, member, "swap", direction_Sd, mask_CS, torch.tensor([2.0]))
        running = BenchmarkRunner(model_of("qwen3", member), bench.evaluator, LAYER, everywhere=False)
        goal = bench.goal("rl" if state == "base" else "base")
        test_half = [i for i, s in enumerate(bench.samples) if s.half == "test"]
        expected = running.run([Condition("selected", 2.0)], edits, test_half, goal)
        selected = effects[(effects["state"] == state) & (effects["edit"] == "exchange") & (effects["dose"] == 2.0)]
        curve = selected[selected["set"] == "selected"]
        assert_same_scores(curve, expected)
        choosing = [i for i, s in enumerate(bench.samples) if s.half == "discovery" and s.task == "arc_challenge"]
        norm = 2 * mean_norms(replace(edits, dose_C=torch.ones(1)), 1, running.stream_on_goal(choosing, goal))[0]
        np.testing.assert_allclose(curve["delta_norm"], norm, rtol=1e-4)


@pytest.mark.parametrize("name", ["selected", "random-01", "along", "shift-in_domain"])
def test_an_exported_edit_is_that_of_the_table_although_only_tasks_that_choose_doses_are_asked(
    effects, bench_of, crosscoder, name
):
    table = effects.assign(chosen=effects["chosen"].astype(bool))
    facts = INTERVENE.model_dump() | {"edits": {"base": ["exchange"]}, "set": name}
    some = ExportEditBenchmarks(**facts | {"benchmarks": {"arc_challenge": {"revision": "r"}}})
    every = ExportEditBenchmarks(**facts)
    edit, same = (
        export_edit(cfg, crosscoder, chosen(), completions(0, 32), bench_of(cfg), table) for cfg in (some, every)
    )
    assert (edit.layer, edit.everywhere, edit.set) == (LAYER, False, name) and edit.dose > 0
    assert all(torch.equal(tensor, same.tensors[part]) for part, tensor in edit.tensors.items())
    own = table.query("state == 'base' and edit == 'exchange' and form == 'own_dose' and set == @name and chosen")
    assert edit.dose == same.dose == own["dose"].unique().item()
    bench = bench_of(every)
    choosing = [i for i, s in enumerate(bench.samples) if s.task == "arc_challenge" and s.half == "discovery"]
    stream_Nd = bench.runner("base").stream_on_goal(choosing, bench.goal("rl"))
    added_Nd = edit.change(stream_Nd[None])[0]
    assert float(added_Nd.norm(dim=1).mean()) == pytest.approx(own["delta_norm"].iloc[0], rel=1e-4, abs=1e-6)


def test_the_nrn_rival_is_the_most_specific_latents(effects, bench_of, crosscoder):
    row = effects[(effects["state"] == "base") & (effects["edit"] == "exchange") & (effects["set"] == "nrn")]
    row = row[row["form"] == "set_dose"]
    mask_CS = (torch.arange(S) < len(LATENTS))[None]
    direction_Sd = directions(crosscoder, "exchange", True)
    edits = FeatureEdits(crosscoder, 0, "swap", direction_Sd, mask_CS, torch.tensor([float(row["dose"].iloc[0])]))
    bench = bench_of(INTERVENE)
    test_half = [i for i, s in enumerate(bench.samples) if s.half == "test"]
    expected = bench.runner("base").run([Condition("nrn", 1.0)], edits, test_half)
    assert_same_scores(row.fillna({"kl": 0}), expected.fillna({"kl": 0}))


def test_rows_of_steering(steering):
    """No planted truth: shifts over doses and random directions on the test half."""
    assert steering.columns.tolist() == COLUMNS and set(steering["procedure"]) == {"steering"}
    for state in ("base", "rl"):
        table = steering[steering["state"] == state]
        counts = table.groupby(["edit", "set"]).size().to_dict()
        shifts = {(name, name): TEST * len(DOSES) for name in ("shift-selection", "shift-in_domain")}
        random = {("direction", f"direction-{i:02d}"): TEST for i in range(DIRECTIONS)}
        assert counts == {("none", "none"): N} | shifts | random
        none = table[(table["edit"] == "none") & (table["half"] == "test")]
        for name in ("shift-selection", "shift-in_domain"):
            curve = table[table["edit"] == name]
            assert_same_scores(curve[curve["dose"] == 0], none)
            length = float(role_shift(completions(0, 32), name.removeprefix("shift-")).norm())
            np.testing.assert_allclose(curve["delta_norm"], length * curve["dose"], rtol=1e-5)
            assert curve.loc[curve["chosen"], "dose"].nunique() == 1
        first = table[(table["edit"] == "shift-selection") & table["chosen"]]
        directions_ = table[table["edit"] == "direction"]
        assert set(directions_["delta_norm"]) == set(first["delta_norm"]) and set(directions_["half"]) == {"test"}


def test_steering_pushes_the_reference_to_the_target_and_the_target_away(steering, bench_of):
    bench, shift_d = bench_of(STEER), role_shift(completions(0, 32), "selection")
    for state, sign, goal in (("base", 1, "rl"), ("rl", -1, "base")):
        edits = VectorEdits(sign * 2.0 * shift_d[None])
        test_half = [i for i, s in enumerate(bench.samples) if s.half == "test"]
        expected = bench.runner(state).run([Condition("s", 2.0)], edits, test_half, bench.goal(goal))
        curve = steering[(steering["state"] == state) & (steering["edit"] == "shift-selection")]
        assert_same_scores(curve[curve["dose"] == 2.0], expected)


def test_a_run_again_gives_the_same_table(effects, bench_of, crosscoder):
    again, _ = run_procedure(INTERVENE, crosscoder, chosen(), completions(0, 32), bench_of(INTERVENE))
    pd.testing.assert_frame_equal(effects, again)


def test_another_seed_draws_other_controls_and_edits_the_same(effects, bench_of, crosscoder):
    cfg = INTERVENE.model_copy(update={"seed": 1, "edits": {"base": ["exchange"]}})
    other, _ = run_procedure(cfg, crosscoder, chosen(), completions(0, 32), bench_of(cfg))
    own = effects[(effects["state"] == "base") & (effects["edit"] == "exchange")].reset_index(drop=True)
    same = own["set"].isin(["selected", "nrn", "shift-selection", "shift-in_domain"])
    same_other = other["set"].isin(["selected", "nrn", "shift-selection", "shift-in_domain"])
    pd.testing.assert_frame_equal(*(t.reset_index(drop=True) for t in (own[same], other[same_other])))
    for kind in ("random", "rotated", "direction"):
        rows = [t[t["set"].str.startswith(kind) & (t["form"] == "set_dose")] for t in (own, other)]
        assert not np.allclose(*(t["answer_logprob"].to_numpy() for t in rows))


def test_an_empty_set_gives_a_table_without_rows(bench_of, crosscoder):
    table, _ = run_procedure(INTERVENE, crosscoder, chosen([]), completions(0, 32), bench_of(INTERVENE))
    assert len(table) == 0 and table.columns.tolist() == COLUMNS


def test_a_model_is_loaded_when_it_is_needed_and_a_goal_made_once(bench_of, crosscoder, monkeypatch):
    loaded, load = [], module.load_model
    monkeypatch.setattr(module, "load_model", lambda folder, device: loaded.append(folder.name) or load(folder, device))
    bench = bench_of(INTERVENE)
    assert loaded == []
    run_procedure(INTERVENE, crosscoder, chosen([]), completions(0, 32), bench)
    assert loaded == ["rl", "base", "base", "rl"]  # base's goal and base, then rl's goal and rl
    assert bench.goal("rl") is bench.goal("rl") and len(loaded) == 4
