"""Training in windows: which rows a window uses, that a kill changes nothing, and that a foreign state is refused."""

import json
import subprocess
import sys
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import pytest
import torch
from counted_shards import write_member
from hypothesis import given
from hypothesis import strategies as st

import rlgen
from rlgen.activations.batches import batches
from rlgen.activations.shards import Shards, write_manifest, write_shard
from rlgen.dictionaries import training as module
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.dictionaries.normalisation import statistics
from rlgen.dictionaries.settings import Recipe
from rlgen.dictionaries.step import Training, step_made_by
from rlgen.dictionaries.training import HERE, Place, finish, finished, steps_of, train, train_window
from rlgen.names import shard_name
from rlgen.resume import Resume
from rlgen.seeds import stream_seed

SCRIPTS = Path(rlgen.__file__).parents[1]
MEMBERS, D, ROWS, WINDOWS, SEED = ["base@1", "rl@5"], 6, 48, 3, 4
RECIPE = Recipe(
    latents=16, k=2, steps=40, batch_rows=32, dead_after_rows=200, aux_k=4, free_latents=4, learning_rate=1e-2
)


class PulledPlug(Exception):
    pass


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[list[Path]]:
    """Three windows of two shards: rows of window w lie around w."""
    root, row_N = tmp_path_factory.mktemp("windows"), torch.arange(ROWS)
    generator, found = torch.Generator().manual_seed(0), []
    for window in range(1, WINDOWS + 1):
        for index in range(2):
            base_Nd = torch.randn(ROWS, D, generator=generator) + window
            for member, h_Nd in zip(MEMBERS, (base_Nd, base_Nd.roll(1, dims=1) + 0.5), strict=True):
                fingerprint = {"model": member, "stream": f"window{window}", "layer": 2}
                path = root / f"window{window}" / member / shard_name(index)
                write_shard(path, h_Nd, row_N, row_N, row_N, fingerprint)
        for member in MEMBERS:
            fingerprint = {"model": member, "stream": f"window{window}", "layer": 2}
            write_manifest(root / f"window{window}" / member, fingerprint, 2)
        found.append([root / f"window{window}" / member for member in MEMBERS])
    return found


def run_window(folders, states: Path, window: int, recipe: Recipe = RECIPE, place: Place = HERE) -> list[dict]:
    """Train through one window, its state kept as `train_window.py` keeps it; returns the curves."""
    before = Resume(states / str(window - 1)) if window > 1 else None
    shards = Shards.open(folders[window - 1], MEMBERS)
    training = train_window(shards, recipe, SEED, window, WINDOWS, before, place)
    Resume(states / str(window)).write(*training.state())
    return training.curves()


def content(state: Resume) -> dict:
    tensors, facts = state.load()
    return {name: t.numpy().tobytes() for name, t in tensors.items()} | {"facts": facts}


def same(a: Crosscoder, b: Crosscoder) -> bool:
    names = ("W_enc_MdS", "b_enc_S", "W_dec_SMd", "b_dec_Md", "mean_Md", "scale_M")
    return a.threshold == b.threshold and all(torch.equal(getattr(a, name), getattr(b, name)) for name in names)


@pytest.fixture(scope="module")
def undisturbed(folders, tmp_path_factory) -> Path:
    """States after each window of a run that nothing interrupts."""
    states = tmp_path_factory.mktemp("undisturbed")
    for window in range(1, WINDOWS + 1):
        run_window(folders, states, window)
    return states


# Which steps, which rows


@given(steps=st.integers(1, 10**6), windows=st.integers(1, 200))
def test_windows_share_the_steps_without_gap_or_overlap(steps, windows):
    found = [steps_of(steps, window, windows) for window in range(1, windows + 1)]
    assert found[0].start == 0 and found[-1].stop == steps
    assert all(a.stop == b.start for a, b in pairwise(found))
    assert max(map(len, found)) - min(map(len, found)) <= (steps % windows > 0)


def test_steps_of_the_papers_windows():
    """390,625 steps in 80 windows: 4882.8 each, one pass over 5,000,000 rows up to one batch of 1,024."""
    lengths = [len(steps_of(390_625, window, 80)) for window in range(1, 81)]
    assert sum(lengths) == 390_625 and set(lengths) == {4882, 4883}
    assert all(abs(length * 1024 - 5_000_000) <= 1024 for length in lengths)


@pytest.mark.parametrize(("steps", "times"), [(30, {2}), (24, {1, 2}), (45, {3})])
def test_every_row_of_a_window_is_used_equally_often(tmp_path, monkeypatch, steps, times):
    """Three windows of 5 x 16 rows. 10 steps of 16 rows use each twice, 8 steps once or twice, 15 three times."""
    recipe = RECIPE.model_copy(update={"steps": steps, "batch_rows": 16})
    used, advance = {}, Training.advance
    for window in (1, 2, 3):
        where, first = tmp_path / f"window{window}", 1000.0 * window
        shards = Shards.open([write_member(where / m, m, [16] * 5, D, offset=first) for m in MEMBERS], MEMBERS)
        normalisation = statistics(shards, range(5), "shared") if window == 1 else normalisation  # noqa: F821
        mean, scale = normalisation[0][0, 0].item(), normalisation[1][0].item()
        seen = used[window] = Counter()

        def noted(self, rows_BMd, seen=seen, mean=mean, scale=scale, first=first):
            seen.update((rows_BMd[:, 0, 0] * scale + mean - first).round().int().tolist())
            advance(self, rows_BMd)

        monkeypatch.setattr(Training, "advance", noted)
        before = Resume(tmp_path / f"state{window - 1}") if window > 1 else None
        Resume(tmp_path / f"state{window}").write(*train_window(shards, recipe, SEED, window, 3, before).state())
    for seen in used.values():
        assert set(seen) == set(range(80)) and set(seen.values()) <= times
        assert sum(seen.values()) == steps // 3 * 16


# Against plain loops


def test_windows_by_a_plain_loop(folders, undisturbed):
    """One training run whose batches come from the windows' shards in turn, normalised by the first window's rows."""
    training = Training.start(RECIPE, 2, D, SEED, "cpu")
    mean_Md, scale_M = statistics(Shards.open(folders[0], MEMBERS), range(2), "shared")
    for window, steps in ((1, 13), (2, 14), (3, 13)):
        rows = batches(Shards.open(folders[window - 1], MEMBERS), 32, stream_seed(SEED, "window", window), range(2))
        for rows_BMd in islice(rows, steps):
            training.advance((rows_BMd - mean_Md) / scale_M[:, None])
    training.normalise(mean_Md, scale_M)
    found, curves, step = finish(RECIPE, MEMBERS, SEED, Resume(undisturbed / "3"))
    assert same(found, finished(training, MEMBERS))
    assert curves == training.curves() and step == step_made_by("cpu")


def test_one_window_of_all_shards_is_ordinary_training_but_for_the_order_of_rows(folders, tmp_path, monkeypatch):
    """Same start, rows, mean and scale. The order is the window's own; given `train`'s, every bit is the same."""
    shards = Shards.open(folders[0], MEMBERS)

    def one_window() -> tuple[Crosscoder, list[dict]]:
        Resume(tmp_path).write(*train_window(shards, RECIPE, SEED, 1, 1, None).state())
        return finish(RECIPE, MEMBERS, SEED, Resume(tmp_path))[:2]

    expected, curves = train(shards, RECIPE, SEED, held_out_shards=0)
    other, _ = one_window()
    assert not same(other, expected)
    assert torch.equal(other.mean_Md, expected.mean_Md) and torch.equal(other.scale_M, expected.scale_M)
    monkeypatch.setattr(module, "stream_seed", lambda seed, *_: seed)
    found, found_curves = one_window()
    assert same(found, expected) and found_curves == curves


def test_windows_have_orders_of_their_own(folders, tmp_path, monkeypatch):
    """The same shards twice: their rows come in another order."""
    orders, advance = [], Training.advance

    def noted(self, rows_BMd):
        orders[-1].append(rows_BMd.sum().item())
        advance(self, rows_BMd)

    monkeypatch.setattr(Training, "advance", noted)
    for window in (1, 2):
        orders.append([])
        run_window([folders[0]] * 2, tmp_path, window)
    assert not set(orders[0]) & set(orders[1])


# The same bytes


def test_the_same_windows_give_the_same_bytes(folders, undisturbed, tmp_path):
    for window in range(1, WINDOWS + 1):
        run_window(folders, tmp_path, window)
        assert content(Resume(tmp_path / str(window))) == content(Resume(undisturbed / str(window)))
    ends = [Resume(tmp_path / str(window)).load()[1]["step"] for window in range(1, WINDOWS + 1)]
    assert ends == [13, 27, 40]


@pytest.mark.parametrize("objective", ["batchtopk", "l1", "shared_latents"])
def test_killed_inside_windows_with_the_same_bytes(folders, tmp_path, monkeypatch, objective):
    """At a window's first step, inside it, at its last one, and twice in one window."""
    recipe, advance = RECIPE.model_copy(update={"objective": objective}), Training.advance
    for window in range(1, WINDOWS + 1):
        run_window(folders, tmp_path / "whole", window, recipe)
    for window, stops in ((1, [0, 12]), (2, [13, 20, 26]), (3, [39])):
        kept = tmp_path / f"kept{window}"
        for stop in stops:

            def until(self, rows_BMd, stop=stop):
                if self.step == stop:
                    raise PulledPlug
                advance(self, rows_BMd)

            with monkeypatch.context() as patch:
                patch.setattr(Training, "advance", until)
                with pytest.raises(PulledPlug):
                    run_window(folders, tmp_path / "killed", window, recipe, Place(resume=Resume(kept, every_s=0)))
        steps = []

        def noted(self, rows_BMd, steps=steps):
            steps.append(self.step)
            advance(self, rows_BMd)

        with monkeypatch.context() as patch:
            patch.setattr(Training, "advance", noted)
            curves = run_window(folders, tmp_path / "killed", window, recipe, Place(resume=Resume(kept)))
        assert steps == [*range(stops[-1], steps_of(40, window, 3).stop)]  # nothing is done twice
        assert [point["step"] for point in curves][-1] == steps[-1]
        whole, killed = (Resume(tmp_path / name / str(window)) for name in ("whole", "killed"))
        assert content(whole) == content(killed)


# What is refused


def test_a_window_without_the_one_before_it_is_refused(folders, tmp_path):
    shards = Shards.open(folders[1], MEMBERS)
    for before in (None, Resume(tmp_path)):
        with pytest.raises(ValueError, match="window 2: no state of the window before it"):
            train_window(shards, RECIPE, SEED, 2, WINDOWS, before)


def test_a_broken_state_of_the_window_before_is_named_and_refused(folders, undisturbed, tmp_path, capsys):
    path = tmp_path / "state.safetensors"
    path.write_bytes((undisturbed / "1" / "state.safetensors").read_bytes()[:-8])
    with pytest.raises(ValueError, match="window 2: no state of the window before it"):
        train_window(Shards.open(folders[1], MEMBERS), RECIPE, SEED, 2, WINDOWS, Resume(tmp_path))
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("window", "state", "message"),
    [
        (3, 1, r"window 3: its steps are range\(27, 40\), the state before it ends at 13"),
        (2, 3, r"window 2: its steps are range\(13, 27\), the state before it ends at 40"),
    ],
)
def test_the_state_of_another_window_is_refused(folders, undisturbed, window, state, message):
    shards = Shards.open(folders[window - 1], MEMBERS)
    with pytest.raises(ValueError, match=message):
        train_window(shards, RECIPE, SEED, window, WINDOWS, Resume(undisturbed / str(state)))


def test_what_a_killed_run_of_another_window_left_is_refused(folders, undisturbed):
    place = Place(resume=Resume(undisturbed / "2"))
    with pytest.raises(ValueError, match=r"window 1: its steps are range\(0, 13\), the state before it ends at 27"):
        train_window(Shards.open(folders[0], MEMBERS), RECIPE, SEED, 1, WINDOWS, None, place)


def test_only_a_state_after_all_steps_makes_a_dictionary(undisturbed, tmp_path):
    for state in (undisturbed / "2", tmp_path):
        with pytest.raises(ValueError, match=f"no state after 40 steps in {state}"):
            finish(RECIPE, MEMBERS, SEED, Resume(state))


# The scripts


def test_the_scripts_write_what_the_library_makes(folders, undisturbed, tmp_path):
    held_out, common = folders[0], {"recipe": RECIPE.model_dump(), "members": MEMBERS, "seed": SEED, "threads": 1}
    stream = {"mix": {"a": 1.0}, "rows": 7 * ROWS, "shard_rows": ROWS, "windows": 3, "layer": 2}
    for window in range(1, WINDOWS + 1):
        cfg = json.dumps(common | {"window": window, "windows": WINDOWS, "stream": stream})
        before = ["--before", tmp_path / str(window - 1)] if window > 1 else []
        run("train_window", "--cfg", cfg, "--shards", *folders[window - 1], *before, "--output", tmp_path / str(window))
        assert content(Resume(tmp_path / str(window))) == content(Resume(undisturbed / str(window)))
        assert (tmp_path / str(window) / "curves.csv").read_text().startswith("step,metric,value\n")
    cfg, output = json.dumps(common), tmp_path / "dictionary"
    run("finish_dictionary", "--cfg", cfg, "--last", tmp_path / "3", "--held-out", *held_out, "--output", output)
    expected, *_ = finish(RECIPE, MEMBERS, SEED, Resume(undisturbed / "3"))
    expected.save(tmp_path / "expected")
    assert same(Crosscoder.load(output), Crosscoder.load(tmp_path / "expected"))
    metadata = json.loads((output / "cfg.json").read_text())["metadata"]
    assert (metadata["layer"], metadata["stream"], metadata["step"]) == (2, "window1", step_made_by("cpu"))
    assert metadata["permute_shift"] is False and metadata["seed"] == SEED
    assert (output / "curves.csv").read_bytes() == (tmp_path / "3" / "curves.csv").read_bytes()


def run(name: str, *arguments: object) -> None:
    subprocess.run(
        [sys.executable, SCRIPTS / f"dictionaries/{name}.py", *arguments], check=True, stderr=subprocess.DEVNULL
    )
