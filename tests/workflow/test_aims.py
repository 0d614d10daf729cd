"""Models that aim at a set, of the organism and published ones: edits are written on their own, and trained towards."""

import pandas as pd
import pytest
import real_studies as studies
import torch
from snakemake_runs import RESULTS, STUDY, copy_project, manifests, planned, snakemake, stale

from rlgen.models.fixed_edits import FixedEdit

pytestmark = pytest.mark.slow
AIM = "{method: distil, parent: base, teacher: base, under: {procedure: elimination}, prompts: 4, prompts_per_step: 2, "
HELD = "{method: sft, parent: base, holds: {procedure: elimination, set: alive}, examples: 8, batch_size: 4, "
LAST = "  distil: {method: distil"


def test_they_run_their_own_jobs_and_what_summarises_all_models(tree):
    text = (tree / STUDY).read_text()
    models = f"  aim: {AIM}checkpoints: 1}}\n  held: {HELD}checkpoints: 1}}\n"
    (tree / STUDY).write_text(text.replace(LAST, models + LAST, 1))
    before = manifests(tree)
    run = snakemake(tree, "--configfile", STUDY, "--", "figures/fig11.pdf", cores=2)
    jobs = planned(run)
    made = {"export_edit": 2, "train_distil_aim": 1, "train_sft_held": 1, "evaluate_model": 4}
    assert made.items() <= jobs.items() and not {"intervene", "pretrain_base", "measure_arm"} & set(jobs)
    assert before != manifests(tree)
    edit = FixedEdit.load(tree / RESULTS / "interventions/elimination/seed0.edits/selected.safetensors")
    assert (edit.set, edit.layer, edit.tensors["direction_Fd"].shape[0]) == ("selected", 2, 3)
    curves = (tree / RESULTS / "models/held/seed0/curves.csv").read_text()
    assert ",held," in curves
    assert "export_edit" not in stale(tree)


def test_published_models_aim_at_what_an_edit_does_to_the_base(tmp_path):
    """From nothing to the models, their base an untaught one: edits read the tasks that choose doses alone."""
    copy_project(tmp_path)
    studies.write_data(tmp_path / "data")
    studies.write_own_models(tmp_path / "data")
    studies.write_problems(tmp_path / "data")
    study = studies.aiming(studies.varied(studies.bring_your_own()))
    path, results = studies.write_study(tmp_path, study), tmp_path / "results/byo"
    models = [f"results/byo/models/{name}/seed0/checkpoint1/model.safetensors" for name in ("aim", "held")]
    jobs = planned(snakemake(tmp_path, "--configfile", path, "--", *models, cores=2))
    made = {"export_edit_benchmarks": 2, "train_distil_aim": 1, "train_sft_held": 1, "intervene_benchmarks": 1}
    assert made.items() <= jobs.items() and not {"train_grpo_rl", "measure_arm"} & set(jobs)
    selected, alive = (
        FixedEdit.load(results / f"interventions/contribution/seed0.edits/{name}.safetensors")
        for name in ("selected", "alive")
    )
    assert (selected.set, selected.layer, selected.everywhere) == ("selected", 0, False)
    table = pd.read_parquet(results / "interventions/contribution/seed0.parquet")
    chosen = table.query("state == 'base' and form == 'own_dose'").loc[lambda rows: rows["chosen"].astype(bool)]
    doses = chosen.groupby("set")["dose"].first()
    assert [selected.dose, alive.dose] == [doses["selected"], doses["alive"]]
    assert len(selected.tensors["floor_F"]) < len(alive.tensors["floor_F"])
    assert torch.isfinite(selected.change(torch.randn(1, 3, 32))).all()
    held = pd.read_csv(results / "models/held/seed0/curves.csv").query("metric == 'held'")["value"]
    assert [value > 1e-9 for value in held] == [False, False, True]  # the rate begins at 0: two steps see the base
    losses = pd.read_csv(results / "models/aim/seed0/curves.csv").query("metric == 'loss'")["value"]
    assert len(losses) == 1 and losses.iloc[0] > 0
