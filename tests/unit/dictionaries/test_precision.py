"""bfloat16 activations with float32 weights: what a GPU does at the paper's size, here small and on the CPU."""

import math
from pathlib import Path

import pytest
import torch
from counted_shards import MEMBERS, write_members
from elsewhere import elsewhere

from rlgen.activations.shards import Shards
from rlgen.dictionaries.parameters import Moments, Parameters
from rlgen.dictionaries.plain_step import PlainStep
from rlgen.dictionaries.settings import Recipe
from rlgen.dictionaries.training import Place, train

PERFORMANCE = Path(__file__).parents[2] / "performance"
SMALL = {"latents": 64, "k": 4, "batch_rows": 128, "precision": "bfloat16", "steps": 30}


@pytest.mark.parametrize("objective", ["batchtopk", "l1"])
def test_bfloat16_rows_move_float32_weights_as_float32_rows_do(objective):
    """One step of the torch code that runs on GPUs, with latents that the auxiliary loss is to revive."""
    recipe = Recipe(**SMALL, objective=objective)
    g, found = torch.Generator().manual_seed(0), {}
    rows_BMd, dead_D = torch.randn(128, 3, 16, generator=g), torch.tensor([1, 5, 9])
    for dtype in (torch.float32, torch.bfloat16):
        parameters = Parameters(64, 3, 16, 64, True, 0.5, 0)
        moments = Moments.zero(parameters)
        outcome = PlainStep(recipe, parameters, moments).advance(rows_BMd.to(dtype), 0, 1e-3, 0.1, dead_D)
        assert {tensor.dtype for tensor in (*parameters.parameters(), outcome.loss)} == {torch.float32}
        found[dtype] = outcome.loss, *(first for first, _ in moments.values() if first.numel())
    for exact, rounded in zip(*found.values(), strict=True):
        error = (exact - rounded).norm() / exact.norm()
        assert 0 < error < 0.2  # bfloat16 keeps 8 bits; where values are near the cut others are kept


def test_the_auxiliary_loss_multiplies_in_the_rows_precision(monkeypatch):
    """At the paper's size dead latents are as many as live ones: products in float32 would take most of a step."""
    recipe, seen, product = Recipe(**SMALL, objective="batchtopk"), set(), torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: seen.add((a.dtype, b.dtype)) or product(a, b))
    parameters = Parameters(64, 3, 16, 64, True, 0.5, 0)
    rows_BMd = torch.randn(128, 3, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    outcome = PlainStep(recipe, parameters, Moments.zero(parameters)).losses(rows_BMd, 0.0, torch.tensor([1, 5, 9]))
    assert seen == {(torch.bfloat16, torch.bfloat16)} and outcome.loss > outcome.reconstruction_loss


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_on_another_device_gives_what_the_cpu_gives(tmp_path, monkeypatch, precision):
    """Rows are normalised there, which is the same arithmetic; a tensor left behind would be refused."""
    monkeypatch.setattr("rlgen.dictionaries.compiled_step.available", lambda: False)
    shards = Shards.open(write_members(tmp_path, [60, 60, 60]), MEMBERS)
    recipe = Recipe(**SMALL | {"precision": precision, "batch_rows": 32, "dead_after_rows": 64})
    here, curves = train(shards, recipe, 0, 1)
    with elsewhere() as device:
        there, others = train(shards, recipe, 0, 1, Place(device))
    for name in ("W_enc_MdS", "W_dec_SMd", "b_enc_S", "mean_Md", "scale_M"):
        torch.testing.assert_close(getattr(there, name), getattr(here, name), rtol=1e-3, atol=1e-4)
    assert [row["value"] for row in others] == pytest.approx([row["value"] for row in curves], rel=1e-2, nan_ok=True)


def test_training_reads_its_rows_in_the_precision_of_the_recipe(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("rlgen.dictionaries.training.Training.advance", lambda self, rows_BMd: see(self, rows_BMd))

    def see(training, rows_BMd):
        seen.append(rows_BMd.dtype)
        training.step += 1

    shards = Shards.open(write_members(tmp_path, [20, 20]), MEMBERS)
    for precision in ("float32", "bfloat16"):
        train(shards, Recipe(**SMALL | {"steps": 1, "batch_rows": 8, "precision": precision}), 0, 1)
    assert seen == [torch.float32, torch.bfloat16]


def test_the_gpu_benchmark_runs_small_and_says_where_it_was_not_run(monkeypatch):
    monkeypatch.syspath_prepend(PERFORMANCE)
    import gpu_dictionaries

    row = gpu_dictionaries.measure(Recipe(**SMALL), 3, 16, torch.device("cpu"), steps=2)
    assert row.ours > 0 and math.isnan(row.ratio) and "peak not known" in row.peer and " h" in row.note
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rows = gpu_dictionaries.measurements()
    assert len(rows) == 2
    assert all("NOT RUN" in row.note and math.isnan(row.ours) and row.repetitions == 0 for row in rows)
