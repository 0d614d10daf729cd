"""Training dictionaries: starting values, schedules, ties, gradients, planted structure, the same bytes twice."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

import rlgen
from rlgen.activations.shards import Shards, write_manifest, write_shard
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.dictionaries.normalisation import statistics
from rlgen.dictionaries.parameters import Moments, Parameters
from rlgen.dictionaries.plain_step import PlainStep
from rlgen.dictionaries.settings import Recipe
from rlgen.dictionaries.step import DEAD_EVERY, Training, l1_coefficient, learning_rate_factor
from rlgen.dictionaries.training import TrainDictionary, finished, train
from rlgen.names import shard_name
from rlgen.resume import Resume

SCRIPT = Path(rlgen.__file__).parents[1] / "dictionaries/train_dictionary.py"
MEMBERS, D, ROWS = ["base@1", "rl@5"], 8, 512
SMALL = {"latents": 24, "k": 2, "steps": 300, "batch_rows": 128, "dead_after_rows": 5000, "aux_k": 4}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Sparse sums of 12 directions; in rl@5 the last two are other directions, and everything is shifted a little."""
    root, rng = tmp_path_factory.mktemp("planted"), np.random.default_rng(0)
    base_KD = rng.normal(size=(12, D))
    tuned_KD = np.concatenate([base_KD[:10], rng.normal(size=(2, D))])
    row_N = torch.arange(ROWS)
    for index in range(5):
        z_NK = (rng.random((ROWS, 12)) < 0.12) * (1 + rng.random((ROWS, 12)))
        for member, W_KD, shift in zip(MEMBERS, (base_KD, tuned_KD), (2.0, 2.5), strict=True):
            fingerprint = {"model": member, "stream": "planted", "layer": 2}
            h_ND = torch.from_numpy(z_NK @ W_KD + shift).float()
            write_shard(root / member / shard_name(index), h_ND, row_N, row_N, row_N, fingerprint)
    for member in MEMBERS:
        write_manifest(root / member, {"model": member, "stream": "planted", "layer": 2}, 5)
    return [root / member for member in MEMBERS]


def share_explained(crosscoder, folders):
    """Of the variance of the held-out rows, per member."""
    h_NMd = Shards.open(folders, MEMBERS).read([4]).activations_NMd
    error_M = (h_NMd - crosscoder.reconstruct(h_NMd)).square().sum((0, 2))
    return 1 - error_M / (h_NMd - h_NMd.mean(0)).square().sum((0, 2))


@pytest.mark.parametrize("kind", ["shared", "per_model"])
def test_statistics_match_numpy_on_training_rows(folders, kind):
    shards = Shards.open(folders, MEMBERS)
    h_NMd = shards.read(range(4)).activations_NMd.numpy().astype(np.float64)
    mean_Md, scale_M = statistics(shards, range(4), kind)
    for m in range(2):
        rows_Nd = h_NMd[:, 0 if kind == "shared" else m]
        np.testing.assert_allclose(mean_Md[m], rows_Nd.mean(0), rtol=1e-6)
        scale = math.sqrt(np.mean(np.sum((rows_Nd - rows_Nd.mean(0)) ** 2, axis=1)) / D)
        assert scale_M[m].item() == pytest.approx(scale, rel=1e-6)
    normalised_Nd = (h_NMd[:, 0] - mean_Md[0].numpy()) / scale_M[0].item()
    assert np.mean(np.sum(normalised_Nd**2, axis=1)) == pytest.approx(D, rel=1e-5)


def test_statistics_refuse_a_model_that_does_not_vary(tmp_path):
    fingerprint, row_N = {"model": "base@1", "stream": "s", "layer": 0}, torch.arange(4)
    write_shard(tmp_path / shard_name(0), torch.ones(4, 3), row_N, row_N, row_N, fingerprint)
    write_manifest(tmp_path, fingerprint, 1)
    with pytest.raises(ValueError, match="base@1 do not vary"):
        statistics(Shards.open([tmp_path], ["base@1"]), [0], "shared")


def test_every_member_starts_with_the_same_decoder_and_its_transpose():
    start = Parameters(S=10, M=3, d=4, free=10, tied_bias=False, init_norm=0.08, seed=0)
    W_dec_SMd = start.decoder()
    torch.testing.assert_close(W_dec_SMd.norm(dim=2), torch.full((10, 3), 0.08))
    for m in range(3):
        assert torch.equal(W_dec_SMd[:, m], W_dec_SMd[:, 0])
        assert torch.equal(start.W_enc_MdS[m], W_dec_SMd[:, 0].T)
    assert not start.b_enc_S.any() and not start.b_dec_Md.any()
    other = Parameters(S=10, M=3, d=4, free=10, tied_bias=False, init_norm=0.08, seed=1)
    assert not torch.equal(other.W_enc_MdS, start.W_enc_MdS)


def test_schedules_by_hand():
    recipe = Recipe(steps=100, warmup=0.1, decay=0.2, l1_coefficient=2.0, l1_ramp=0.05)
    factors = [learning_rate_factor(step, recipe) for step in (0, 4, 9, 50, 80, 90, 99)]
    assert factors == pytest.approx([0.1, 0.5, 1.0, 1.0, 1.0, 0.5, 0.05])
    assert [l1_coefficient(step, recipe) for step in (0, 1, 5, 99)] == pytest.approx([0.0, 0.4, 2.0, 2.0])
    flat = Recipe(steps=100, warmup=0, decay=0, l1_ramp=0)
    assert (learning_rate_factor(0, flat), learning_rate_factor(99, flat), l1_coefficient(0, flat)) == (1, 1, 2)


@pytest.mark.parametrize("objective", ["batchtopk", "l1", "shared_latents"])
@pytest.mark.parametrize("normalisation", ["shared", "per_model"])
def test_the_first_step_matches_float64_loops(objective, normalisation):
    """Loss and gradients of one step against central differences of a loss written with plain loops."""
    free = 2 if objective == "shared_latents" else 0
    recipe = Recipe(
        objective=objective,
        normalisation=normalisation,
        latents=5,
        k=2,
        free_latents=free,
        l1_ramp=0,
        warmup=0,
        decay=0,
    )
    start = Parameters(5, 2, 3, free or 5, normalisation == "shared", 0.08, 0).double()
    g = torch.Generator().manual_seed(1)
    for tensor in start.parameters():
        tensor.data = torch.randn(tensor.shape, generator=g, dtype=torch.float64)
    rows_BMd = torch.randn(4, 2, 3, generator=g, dtype=torch.float64)
    parameters = dict(start.named_parameters())
    assert parameters["b_dec_Md"].shape == ((1, 3) if normalisation == "shared" else (2, 3))

    def plain_loss():
        p = {name: tensor.detach().numpy() for name, tensor in parameters.items()}
        decoder = [p["W_free_FMd"][k] if k < len(p["W_free_FMd"]) else None for k in range(5)]
        decoder = [w if w is not None else np.stack([p["W_tied_T1d"][k - 2][0]] * 2) for k, w in enumerate(decoder)]
        norms = [sum(math.sqrt(sum(x * x for x in w[m])) for m in range(2)) for w in decoder]
        z = np.zeros((4, 5))
        for b in range(4):
            for k in range(5):
                pre = p["b_enc_S"][k] + sum(
                    rows_BMd[b, m, i].item() * p["W_enc_SMd"][k, m, i] for m in range(2) for i in range(3)
                )
                z[b, k] = max(pre, 0)
        if objective != "l1":
            cut = sorted((z * norms).flatten())[-4 * 2]
            z = np.where(z * norms >= cut, z, 0)
        total = 0.0
        for b in range(4):
            for m in range(2):
                bias = p["b_dec_Md"][m if len(p["b_dec_Md"]) == 2 else 0]
                for i in range(3):
                    estimate = bias[i] + sum(z[b, k] * decoder[k][m][i] for k in range(5))
                    total += (rows_BMd[b, m, i].item() - estimate) ** 2 / 4
        if objective == "l1":
            total += 2.0 * sum(z[b, k] * norms[k] for b in range(4) for k in range(5)) / 4
        return total

    plain = PlainStep(recipe, start, Moments.zero(start))
    loss = plain.losses(rows_BMd, recipe.l1_coefficient, torch.zeros(0, dtype=torch.int64)).loss
    assert loss.item() == pytest.approx(plain_loss(), rel=1e-10)
    loss.backward()
    for name, tensor in parameters.items():
        flat, gradient = tensor.data.view(-1), tensor.grad
        for i in range(0, flat.numel(), 3):
            before = flat[i].item()
            flat[i] = before + 1e-6
            above = plain_loss()
            flat[i] = before - 1e-6
            below = plain_loss()
            flat[i] = before
            expected = (above - below) / 2e-6
            assert gradient.view(-1)[i].item() == pytest.approx(expected, rel=1e-4, abs=1e-6), (name, i)


@pytest.mark.parametrize("objective", ["batchtopk", "l1", "shared_latents", "dedicated"])
def test_it_learns_the_planted_dictionary(folders, objective):
    parts = {"free_latents": 6 * (objective == "shared_latents"), "exclusive_latents": 4 * (objective == "dedicated")}
    recipe = Recipe(**SMALL, **parts, objective=objective, l1_coefficient=0.3)
    crosscoder, curves = train(Shards.open(folders, MEMBERS), recipe, seed=0, held_out_shards=1)
    assert (share_explained(crosscoder, folders) > 0.75).all()
    table = pd.DataFrame(curves).pivot(index="step", columns="metric", values="value")
    assert list(table.columns) == ["dead_share", "fve", "l0", "learning_rate", "loss"]
    assert table.index[-1] == 299 and np.isfinite(table.to_numpy()).all()
    assert table.loss.iloc[-1] < 0.5 * table.loss.iloc[0]
    h_NMd = Shards.open(folders, MEMBERS).read([4]).activations_NMd
    if objective != "l1":  # the learnt threshold stands in for the batch: about k latents per row on rows never seen
        assert (crosscoder.encode(h_NMd) > 0).sum(1).float().mean().item() == pytest.approx(2, rel=0.15)


def test_shared_latents_are_tied_and_free_ones_are_not(folders):
    recipe = Recipe(**SMALL, objective="shared_latents", free_latents=6)
    crosscoder, _ = train(Shards.open(folders, MEMBERS), recipe, seed=0, held_out_shards=1)
    difference_S = (crosscoder.W_dec_SMd[:, 0] - crosscoder.W_dec_SMd[:, 1]).norm(dim=1)
    assert crosscoder.free_S.tolist() == [True] * 6 + [False] * 18
    assert (difference_S[~crosscoder.free_S] == 0).all() and (difference_S[crosscoder.free_S] > 0).any()


def test_what_one_model_alone_has_lies_in_its_own_latents():
    """Six directions in both models and one in each alone, in a dictionary that has no latent to spare.

    With latents to spare a shared one may take what one model alone has: the objective does not forbid that.
    """
    g = torch.Generator().manual_seed(3)
    both_K1d = torch.nn.functional.normalize(torch.randn(6, 1, 16, generator=g), dim=2)
    alone_K1d = torch.nn.functional.normalize(torch.randn(2, 1, 16, generator=g), dim=2)
    mask_KM1 = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[..., None]
    planted_KMd = torch.cat([alone_K1d * mask_KM1, both_K1d.expand(-1, 2, -1)])
    sizes = {"exclusive_latents": 1, "latents": 8, "k": 2, "steps": 600, "batch_rows": 128}
    recipe = Recipe(objective="dedicated", **sizes, learning_rate=1e-2, dead_after_rows=5000)
    training = Training.start(recipe, 2, 16, 1, "cpu")
    for _ in range(recipe.steps):
        z_BK = (torch.rand(128, 8, generator=g) < 0.2) * (1 + torch.rand(128, 8, generator=g))
        training.advance(torch.einsum("bk,kmd->bmd", z_BK, planted_KMd))
    crosscoder = finished(training, MEMBERS)
    assert crosscoder.exclusive_latents == 1 and crosscoder.free_S.all()
    for weights_SM in (crosscoder.W_dec_SMd.norm(dim=2), crosscoder.W_enc_MdS.norm(dim=1).T):
        assert not weights_SM[0, 1] and not weights_SM[1, 0] and weights_SM[2:].all()
    for k in range(2):
        assert torch.cosine_similarity(crosscoder.W_dec_SMd[k, k], alone_K1d[k, 0], dim=0) > 0.95


def test_shared_normalisation_ties_mean_scale_and_bias(folders):
    shards = Shards.open(folders, MEMBERS)
    shared, _ = train(shards, Recipe(**SMALL), seed=0, held_out_shards=1)
    for tensor in (shared.mean_Md, shared.scale_M, shared.b_dec_Md):
        assert torch.equal(tensor[0], tensor[1])
    assert shared.b_dec_Md.any()
    own, _ = train(shards, Recipe(**SMALL, normalisation="per_model"), seed=0, held_out_shards=1)
    for tensor in (own.mean_Md, own.scale_M, own.b_dec_Md):
        assert not torch.equal(tensor[0], tensor[1])


def test_held_out_rows_do_not_change_the_result(folders, tmp_path):
    changed = []
    for folder, member in zip(folders, MEMBERS, strict=True):
        copy, fingerprint = tmp_path / member, {"model": member, "stream": "planted", "layer": 2}
        copy.mkdir()
        for index in range(4):
            (copy / shard_name(index)).write_bytes((folder / shard_name(index)).read_bytes())
        row_N = torch.arange(ROWS)
        write_shard(copy / shard_name(4), torch.randn(ROWS, D) * 100, row_N, row_N, row_N, fingerprint)
        write_manifest(copy, fingerprint, 5)
        changed.append(copy)
    recipe = Recipe(**SMALL | {"steps": 30})
    first, second = (train(Shards.open(f, MEMBERS), recipe, 0, 1)[0] for f in (folders, changed))
    assert torch.equal(first.W_dec_SMd, second.W_dec_SMd) and torch.equal(first.mean_Md, second.mean_Md)


def encoded(parameters, rows_BMd):
    return rows_BMd.flatten(1) @ parameters.W_enc_SMd.flatten(1).T + parameters.b_enc_S


def test_the_threshold_is_a_running_mean_of_the_cuts():
    training = Training.start(Recipe(latents=6, k=1, steps=10, threshold_momentum=0.9, warmup=1), 2, 3, 0, "cpu")
    g, expected = torch.Generator().manual_seed(0), None
    for _ in range(5):
        rows_BMd = torch.randn(8, 2, 3, generator=g)
        with torch.no_grad():
            norms_S = training.parameters.decoder().norm(dim=2).sum(1)
            weighted = (encoded(training.parameters, rows_BMd).relu() * norms_S).flatten().tolist()
        cut = sorted(weighted)[-8]
        expected = cut if expected is None else 0.9 * expected + 0.1 * cut
        training.advance(rows_BMd)
        assert training.threshold.item() == pytest.approx(expected, rel=1e-5)


def test_dead_latents_are_found_and_learn_from_the_residual():
    recipe = Recipe(latents=6, k=1, steps=200, dead_after_rows=100, aux_k=2, warmup=0, decay=0)
    training = Training.start(recipe, 2, 3, 0, "cpu")
    training.parameters.b_enc_S.data[4] = -50.0  # never fires, has no positive value
    training.parameters.W_enc_SMd.data[5] = 1e-4  # never among the largest, yet positive
    before_d = training.parameters.W_free_FMd[5].detach().clone()
    g = torch.Generator().manual_seed(0)
    for step in range(DEAD_EVERY):
        training.advance(torch.randn(16, 2, 3, generator=g))
        assert len(training.dead_D) == 0 or step == DEAD_EVERY - 1
    assert {4, 5} <= set(training.dead_D.tolist())
    assert training.idle_rows_S[4].item() == 16 * DEAD_EVERY
    assert torch.equal(training.parameters.W_free_FMd[5], before_d)  # nothing reached it so far
    training.advance(torch.randn(16, 2, 3, generator=g))
    assert not torch.equal(training.parameters.W_free_FMd[5], before_d)
    assert training.points[-1][1]["dead_share"].item() == pytest.approx(len(training.dead_D) / 6, abs=0.2)


@pytest.mark.parametrize("objective", ["batchtopk", "l1", "shared_latents"])
def test_a_restored_run_goes_on_with_the_same_bits(objective, tmp_path):
    """Through a file, in the middle of warm-up, with dead latents and unread curve points."""
    free = 4 if objective == "shared_latents" else 0
    recipe = Recipe(latents=12, k=1, steps=60, objective=objective, free_latents=free, dead_after_rows=16)
    rows_NBMd = torch.randn(60, 8, 2, 3, generator=torch.Generator().manual_seed(0))
    undisturbed = Training.start(recipe, 2, 3, 0, "cpu")
    for step, rows_BMd in enumerate(rows_NBMd):
        undisturbed.advance(rows_BMd)
        if step == 41:
            Resume(tmp_path).save(*undisturbed.state())
    restored = Training.start(recipe, 2, 3, 0, "cpu")
    restored.restore(*Resume(tmp_path).load())
    assert restored.step == 42 and (objective == "l1" or len(restored.dead_D))
    for rows_BMd in rows_NBMd[42:]:
        restored.advance(rows_BMd)
    first, second = undisturbed.state(), restored.state()
    assert first[1] == second[1] and first[0].keys() == second[0].keys()
    for name, tensor in first[0].items():
        assert torch.equal(tensor, second[0][name]), name
    assert undisturbed.curves() == restored.curves()


def run_script(folders, output, **cfg):
    defaults = {"recipe": SMALL | {"steps": 40}, "members": MEMBERS, "held_out_shards": 1, "seed": 3, "threads": 1}
    command = [sys.executable, SCRIPT, "--cfg", json.dumps(defaults | cfg), "--output", output, "--shards", *folders]
    return subprocess.run(command, check=True, capture_output=True, text=True)


def test_the_script_writes_the_same_bytes_twice_and_a_dictionary_that_loads(folders, tmp_path):
    for name in ("first", "second"):
        run_script(folders, tmp_path / name)
    names = ["cfg.json", "curves.csv", "normalisation.safetensors", "sae_weights.safetensors"]
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == names
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
    assert Crosscoder.load(tmp_path / "first").members == MEMBERS
    assert list(pd.read_csv(tmp_path / "first" / "curves.csv").columns) == ["step", "metric", "value"]
    run_script(folders, tmp_path / "null", permute_shift=True)
    weights = "sae_weights.safetensors"
    assert (tmp_path / "null" / weights).read_bytes() != (tmp_path / "first" / weights).read_bytes()
    assert json.loads((tmp_path / "null/cfg.json").read_text())["metadata"]["permute_shift"] is True


def test_settings_refuse_what_cannot_be(tmp_path):
    good = {"recipe": {}, "members": MEMBERS, "held_out_shards": 1, "seed": 0, "threads": 1}
    TrainDictionary.model_validate(good)
    for change in ({"members": ["base@1"]}, {"held_out_shards": 0}, {"recipe": {"k": 300}}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            TrainDictionary.model_validate(good | change)
