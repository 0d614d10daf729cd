"""Models that aim at a set, added to a finished study: edits are written on their own, and trained towards or held."""

import pytest
from snakemake_runs import RESULTS, STUDY, manifests, planned, snakemake, stale

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
