"""Broken files of a study: the job that reads one stops, names it, and leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path

import pytest
from snakemake_runs import RESULTS, STUDY, by_hand, digests, snakemake

pytestmark = pytest.mark.slow


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    """Change one bit of an activation: the file still reads well."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


CUT, ALTERED, MISSING = "cut short or replaced", "altered since", "missing; run snakemake again"
FAULTS = [
    ("dictionaries/base-rl/batchtopk/seed0/cfg.json", "activations/seed0/rl@3/shard001.safetensors", cut, CUT),
    ("dictionaries/base-rl/batchtopk/seed0/cfg.json", "activations/seed0/base@1/shard000.safetensors", flip, ALTERED),
    ("features/dynamics/seed0.csv", "dictionaries/course-rl/batchtopk/seed0/features.parquet", flip, ALTERED),
    ("behaviour/rl/seed0/known.parquet", "models/rl/seed0/checkpoint3/model.safetensors", remove, MISSING),
    ("behaviour/rl/seed0/unseen.parquet", "models/rl/seed0/checkpoint2/model.safetensors", flip, ALTERED),
    ("activations/seed0/rl@3/manifest.json", "activations/seed0/stream.safetensors", flip, ALTERED),
    ("activations/seed0/completions/rl.safetensors", "behaviour/base/seed0/known.parquet", flip, ALTERED),
    ("interventions/contribution/seed0.parquet", "models/base/seed0/checkpoint1/model.safetensors", cut, CUT),
    ("interventions/effects.csv", "interventions/steering/seed0.parquet", cut, CUT),
    ("figures/fig3.pdf", "dictionaries/base-sft-rl/features.parquet", flip, ALTERED),
]


@pytest.mark.parametrize(("asked", "broken", "harm", "message"), FAULTS, ids=lambda v: getattr(v, "__name__", None))
def test_a_broken_file_is_named_and_nothing_is_written(
    tree: Path, jobs: dict, asked: str, broken: str, harm: Callable[[Path], None], message: str
):
    job = jobs[f"{RESULTS}/{asked}"]
    for name, other in jobs.items():
        if other == job:
            (tree / name).unlink()
    harm(tree / RESULTS / broken)
    before = digests(tree)
    run = by_hand(tree, job)
    assert run.returncode != 0
    lines = run.stderr.strip().splitlines()
    assert lines[-1].startswith(f"error: {RESULTS}/{broken}: ") and message in lines[-1], run.stderr
    assert len(lines) == 1
    assert digests(tree) == before


def test_snakemake_shows_the_message_and_keeps_no_output(tree):
    wanted = f"{RESULTS}/dictionaries/base-rl/batchtopk/seed0/sae_weights.safetensors"
    cut(tree / RESULTS / "activations/seed0/rl@3/shard001.safetensors")
    run = snakemake(tree, "--configfile", STUDY, "--", wanted)
    assert run.returncode != 0
    assert f"{RESULTS}/activations/seed0/rl@3/shard001.safetensors: " in run.stdout and "cut short" in run.stdout
    assert not (tree / wanted).exists() and not (tree / wanted).with_name("curves.csv").exists()
