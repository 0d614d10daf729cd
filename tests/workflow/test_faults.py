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


FAULTS = [
    ("dictionaries/base-rl/batchtopk/seed0/cfg.json", "activations/seed0/rl@3/shard001.safetensors", cut, "cut short"),
    ("dictionaries/base-rl/batchtopk/seed0/cfg.json", "activations/seed0/base@1/shard000.safetensors", flip, "altered"),
    (
        "dictionaries/base-rl/batchtopk/seed0/quality.csv",
        "activations/seed0/rl@3/shard003.safetensors",
        flip,
        "altered",
    ),
    ("features/dynamics/seed0.csv", "activations/seed0/rl@1/shard003.safetensors", cut, "cut short"),
    ("behaviour/rl/seed0.parquet", "models/rl/seed0/checkpoint3/model.safetensors", remove, "no model.safetensors"),
    ("activations/seed0/stream.safetensors", "models/sft/seed0/checkpoint3/model.safetensors", remove, "no model"),
    ("activations/seed0/rl@3/manifest.json", "models/rl/seed0/checkpoint1/model.safetensors", remove, "no model"),
    (
        "interventions/contribution/seed0.parquet",
        "models/base/seed0/checkpoint1/model.safetensors",
        cut,
        "cannot be read",
    ),
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
    last = run.stderr.strip().splitlines()[-1]
    place = f"{RESULTS}/{broken}"
    named = Path(place).parent if message.startswith("no ") else place  # missing weights: the checkpoint is named
    assert f"{named}: " in last and message in last, run.stderr
    assert run.stderr.count(last) == 1
    assert digests(tree) == before


def test_snakemake_shows_the_message_and_keeps_no_output(tree):
    wanted = f"{RESULTS}/dictionaries/base-rl/batchtopk/seed0/sae_weights.safetensors"
    cut(tree / RESULTS / "activations/seed0/rl@3/shard001.safetensors")
    run = snakemake(tree, "--configfile", STUDY, "--", wanted)
    assert run.returncode != 0
    assert f"{RESULTS}/activations/seed0/rl@3/shard001.safetensors: " in run.stdout and "cut short" in run.stdout
    assert not (tree / wanted).exists() and not (tree / wanted).with_name("curves.csv").exists()
