"""Two processes train the dictionary that one process trains, up to the order of sums."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import rlgen
from rlgen.activations.shards import write_manifest, write_shard
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.dictionaries.ranks import ALONE, Ranks, join
from rlgen.names import shard_name
from rlgen.resume import EVERY_S, Resume

SCRIPT = Path(rlgen.__file__).parents[1] / "dictionaries/train_dictionary.py"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
MEMBERS, D, ROWS = ["base@1", "rl@5"], 6, 90
SMALL = {"latents": 24, "k": 2, "steps": 25, "dead_after_rows": 300, "aux_k": 3, "free_latents": 4, "l1_ramp": 0}
ODD = 33  # rows of a batch: one process gets a row more than the other


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root, row_N = tmp_path_factory.mktemp("shards"), torch.arange(ROWS)
    generator = torch.Generator().manual_seed(0)
    for index in range(4):
        base_Nd = torch.randn(ROWS, D, generator=generator)
        for member, h_Nd in zip(MEMBERS, (base_Nd, base_Nd.roll(1, dims=1) + 0.5), strict=True):
            fingerprint = {"model": member, "stream": "random", "layer": 2}
            write_shard(root / member / shard_name(index), h_Nd, row_N, row_N, row_N, fingerprint)
    for member in MEMBERS:
        write_manifest(root / member, {"model": member, "stream": "random", "layer": 2}, 4)
    return [root / member for member in MEMBERS]


def run(folders, output, launcher, objective, *arguments, **recipe):
    recipe = SMALL | {"objective": objective, "batch_rows": ODD} | recipe
    cfg = {"recipe": recipe, "members": MEMBERS, "held_out_shards": 1, "seed": 3, "threads": 1}
    command = [sys.executable, *launcher, SCRIPT, "--cfg", json.dumps(cfg), "--output", output, "--shards", *folders]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, env=os.environ | {EVERY_S: "0", "OMP_NUM_THREADS": "1"}
    )


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["batchtopk", "l1", "shared_latents"])
def test_two_processes_train_the_dictionary_of_one(folders, tmp_path, objective):
    state = tmp_path / "state"
    for name, launcher in {"one": [], "two": TORCHRUN}.items():
        result = run(folders, tmp_path / name, launcher, objective, "--state", state / name)
        assert result.returncode == 0, result.stderr
    states = [Resume(state / name).load()[0] for name in ("one", "two")]
    assert objective == "l1" or len(states[0]["dead_D"])  # the auxiliary loss had something to do
    for name in ("idle_rows_S", "dead_D"):
        assert torch.equal(states[0][name], states[1][name]), name
    one, two = (Crosscoder.load(tmp_path / name) for name in ("one", "two"))
    for name in ("W_enc_MdS", "b_enc_S", "W_dec_SMd", "b_dec_Md"):
        first, second = getattr(one, name), getattr(two, name)
        assert ((first - second).norm() / first.norm()).item() < 1e-5, name
    assert one.threshold == (None if objective == "l1" else pytest.approx(two.threshold, rel=1e-5))
    curves = [pd.read_csv(tmp_path / name / "curves.csv") for name in ("one", "two")]
    pd.testing.assert_frame_equal(*curves, rtol=1e-5, atol=2e-6)  # fve is 1 - a ratio near 1


def test_fewer_rows_than_processes_are_refused(folders, tmp_path):
    result = run(folders, tmp_path / "output", TORCHRUN, "l1", batch_rows=1)
    assert result.returncode != 0
    assert "batch_rows=1: 2 processes, expected at least a row for each" in result.stderr


def test_alone_nothing_is_exchanged(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join(torch.device("cpu")) is ALONE and ALONE.first
    values, tensor = torch.tensor([[3.0, 1.0], [2.0, 5.0]]), torch.ones(2)
    ALONE.sum(tensor)
    assert torch.equal(tensor, torch.ones(2)) and ALONE.kth_largest(values, 2) == 3 and ALONE.rows(7, 100) == 7
    assert Ranks(1, 4).part(4) == (1, 4) and not Ranks(1, 4).first
    rows_BMd = torch.tensor([[[0.0, 0.0]], [[2.0, 4.0]]])
    assert ALONE.variance(rows_BMd, 2) == 5  # (1 + 4) from the mean (1, 2), in both rows


def test_the_kth_largest_of_all_processes_is_exact(monkeypatch):
    """Against sorting everything, with ties and with a process that has fewer than k values."""
    parts = [torch.tensor([[4.0, 0.0, 4.0], [1.0, 7.0, 0.0]]), torch.tensor([[4.0, 2.0]])]
    sent = []

    def all_gather(everyones, candidates):
        sent.append(candidates)
        for place, everyone in enumerate(everyones):
            everyone.copy_(candidates if place == 0 else padded)

    monkeypatch.setattr("rlgen.dictionaries.ranks.dist.all_gather", all_gather)
    ordered = sorted(torch.cat([part.flatten() for part in parts]).tolist(), reverse=True)
    for k in range(1, 9):
        padded = torch.zeros(k)
        padded[: min(k, 2)] = parts[1].flatten().topk(min(k, 2)).values
        assert Ranks(0, 2).kth_largest(parts[0], k).item() == ordered[k - 1]
        assert sent[-1].shape == (k,)
