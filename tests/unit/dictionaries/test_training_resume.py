"""A dictionary whose training was killed and went on is the dictionary of an undisturbed run, byte for byte."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import rlgen
from rlgen.activations.shards import Shards, write_manifest, write_shard
from rlgen.dictionaries.settings import Recipe
from rlgen.dictionaries.step import Training
from rlgen.dictionaries.training import HERE, Place, train
from rlgen.names import shard_name
from rlgen.progress import Progress
from rlgen.resume import EVERY_S, STATE, Resume

SCRIPT = Path(rlgen.__file__).parents[1] / "dictionaries/train_dictionary.py"
MEMBERS, D, ROWS = ["base@1", "rl@5"], 6, 90
STEPS = 40  # of 32 rows: three rings of the four training shards in every third step
SMALL = {"latents": 16, "k": 2, "steps": STEPS, "batch_rows": 32, "dead_after_rows": 200, "aux_k": 4, "free_latents": 4}


class PulledPlug(Exception):
    pass


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root, row_N = tmp_path_factory.mktemp("shards"), torch.arange(ROWS)
    generator = torch.Generator().manual_seed(0)
    for index in range(5):
        base_Nd = torch.randn(ROWS, D, generator=generator)
        for member, h_Nd in zip(MEMBERS, (base_Nd, base_Nd.roll(1, dims=1) + 0.5), strict=True):
            fingerprint = {"model": member, "stream": "random", "layer": 2}
            write_shard(root / member / shard_name(index), h_Nd, row_N, row_N, row_N, fingerprint)
    for member in MEMBERS:
        write_manifest(root / member, {"model": member, "stream": "random", "layer": 2}, 5)
    return [root / member for member in MEMBERS]


def dictionary(folders, output, objective, place=HERE):
    """The bytes of all files that a run writes."""
    recipe = Recipe(**SMALL, objective=objective)
    crosscoder, curves = train(Shards.open(folders, MEMBERS), recipe, seed=1, held_out_shards=1, place=place)
    crosscoder.save(output)
    return {path.name: path.read_bytes() for path in output.iterdir()} | {"curves": json.dumps(curves)}


@pytest.mark.parametrize("objective", ["batchtopk", "l1", "shared_latents"])
def test_an_interrupted_run_ends_with_the_same_bytes(folders, tmp_path, monkeypatch, objective):
    expected = dictionary(folders, tmp_path / "undisturbed", objective)
    advance = Training.advance
    for stop in (1, 11, 12, 25, STEPS - 1):  # interrupted again and again, in a ring, at its end, in another epoch

        def until(self, rows_BMd, stop=stop):
            if self.step == stop:
                raise PulledPlug
            advance(self, rows_BMd)

        monkeypatch.setattr(Training, "advance", until)
        with pytest.raises(PulledPlug):
            dictionary(folders, tmp_path / "killed", objective, Place(resume=Resume(tmp_path / "state", every_s=0)))
        assert Resume(tmp_path / "state").load()[1]["step"] == stop
    monkeypatch.setattr(Training, "advance", advance)
    assert dictionary(folders, tmp_path / "killed", objective, Place(resume=Resume(tmp_path / "state"))) == expected


def test_a_state_older_than_the_kill_loses_steps_and_changes_nothing(folders, tmp_path, monkeypatch):
    expected, advance, taken = dictionary(folders, tmp_path / "undisturbed", "batchtopk"), Training.advance, []

    def until(self, rows_BMd):
        if self.step == 20:
            raise PulledPlug
        advance(self, rows_BMd)

    class Rarely(Resume):
        def due(self):
            taken.append(1)
            return len(taken) % 7 == 0

    monkeypatch.setattr(Training, "advance", until)
    with pytest.raises(PulledPlug):
        dictionary(folders, tmp_path / "killed", "batchtopk", Place(resume=Rarely(tmp_path / "state")))
    monkeypatch.setattr(Training, "advance", advance)
    assert Resume(tmp_path / "state").load()[1]["step"] == 14
    assert dictionary(folders, tmp_path / "killed", "batchtopk", Place(resume=Resume(tmp_path / "state"))) == expected


@pytest.mark.parametrize("change", ["cut", "altered"])
def test_a_broken_state_is_named_and_not_used(folders, tmp_path, capsys, change):
    expected = dictionary(folders, tmp_path / "undisturbed", "batchtopk")
    dictionary(folders, tmp_path / "first", "batchtopk", Place(resume=Resume(tmp_path / "state", every_s=0)))
    path = tmp_path / "state" / STATE
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data[:-8] if change == "cut" else data)
    capsys.readouterr()
    assert dictionary(folders, tmp_path / "again", "batchtopk", Place(resume=Resume(tmp_path / "state"))) == expected
    message = capsys.readouterr().err
    assert "starting from the beginning" in message and str(path) in message


def test_nothing_is_kept_without_a_state_folder(folders, tmp_path, monkeypatch):
    monkeypatch.setenv(EVERY_S, "0")
    dictionary(folders, tmp_path / "output", "batchtopk")
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


def test_progress_after_a_resume_counts_this_process_only(folders, tmp_path, capsys):
    dictionary(folders, tmp_path / "first", "batchtopk", Place(resume=Resume(tmp_path / "state", every_s=0)))
    _, facts = Resume(tmp_path / "state").load()
    assert facts["step"] == STEPS
    progress = Progress("dictionary", 2 * STEPS, "steps", every_s=0)
    seen = []
    progress.update = lambda done, note: seen.append((progress.start, done, note))
    recipe = Recipe(**SMALL | {"steps": STEPS + 3})
    train(Shards.open(folders, MEMBERS), recipe, 1, 1, Place(progress=progress, resume=Resume(tmp_path / "state")))
    assert [(start, done) for start, done, _ in seen] == [(STEPS, STEPS + i) for i in (1, 2, 3)]
    assert all("rows/s" in note and "waiting for data" in note for _, _, note in seen)


def command(folders, output, state, steps):
    cfg = {"recipe": SMALL | {"steps": steps}, "members": MEMBERS, "held_out_shards": 1, "seed": 3, "threads": 1}
    return [
        *(sys.executable, SCRIPT, "--cfg", json.dumps(cfg), "--output", output, "--shards", *folders),
        *(["--state", state] if state else []),
    ]


@pytest.mark.slow
def test_the_script_survives_sigkill_with_the_same_bytes(folders, tmp_path):
    steps, environment = 800, os.environ | {EVERY_S: "0"}
    subprocess.run(command(folders, tmp_path / "undisturbed", None, steps), check=True)
    state, kills = tmp_path / "state", 0
    while kills < 2:
        before = (state / STATE).stat().st_mtime_ns if kills else 0
        run = subprocess.Popen(command(folders, tmp_path / "killed", state, steps), env=environment)
        while not ((state / STATE).exists() and (state / STATE).stat().st_mtime_ns > before):
            assert run.poll() is None, "it ended before it kept a state"
            time.sleep(0.002)
        time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL, "it ended before it could be killed"
        kills += 1
    assert not (tmp_path / "killed").exists()  # nothing half done
    subprocess.run(command(folders, tmp_path / "killed", state, steps), check=True)
    names = ["cfg.json", "curves.csv", "normalisation.safetensors", "sae_weights.safetensors"]
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == names
    for name in names:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes(), name
