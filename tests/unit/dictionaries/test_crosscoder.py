"""The dictionary: formulas against plain loops, fold and unfold, and SAELens reading the export without our package."""

import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sae_lens import SAE
from safetensors.torch import load_file

from rlgen.dictionaries.crosscoder import Crosscoder, fold, unfold
from rlgen.dictionaries.objectives import latent_norms
from rlgen.features.statistics import latent_table, sum_latents
from rlgen.files import ArtifactError
from rlgen.interventions.edits import directions

shapes = st.tuples(st.integers(2, 4), st.integers(1, 6), st.integers(1, 9))  # M, d, S
seeds = st.integers(0, 2**31)
objectives = st.sampled_from(["batchtopk", "l1"])
normalisations = st.sampled_from(["shared", "per_model"])


def make(seed, objective="batchtopk", normalisation="per_model", shape=(2, 3, 7)):
    """A random crosscoder and raw rows (20, M, d) of a size like a residual stream's."""
    M, d, S = shape
    g = torch.Generator().manual_seed(seed)
    n = 1 if normalisation == "shared" else M
    mean_Md = (3 * torch.randn(n, d, generator=g)).expand(M, d).contiguous()
    scale_M = (0.5 + 2 * torch.rand(n, generator=g)).expand(M).contiguous()
    crosscoder = Crosscoder(
        members=[f"model@{m}" for m in range(M)],
        objective=objective,
        W_enc_MdS=torch.randn(M, d, S, generator=g),
        b_enc_S=torch.randn(S, generator=g),
        W_dec_SMd=torch.randn(S, M, d, generator=g),
        b_dec_Md=torch.randn(n, d, generator=g).expand(M, d).contiguous(),
        mean_Md=mean_Md,
        scale_M=scale_M,
        threshold=None if objective == "l1" else 2.0,
        free_latents=S,
    )
    h_BMd = torch.randn(20, M, d, generator=g) * scale_M[:, None] + mean_Md
    return crosscoder, h_BMd


def far_from_a_jump(crosscoder, z_pre_BS, margin=1e-3):
    """Where rounding cannot decide whether a latent fires."""
    weighted_BS = z_pre_BS * latent_norms(crosscoder.W_dec_SMd)
    return (weighted_BS - (crosscoder.threshold or 0.0)).abs() > margin


def pre_activation(crosscoder, h_BMd):
    """sum_m x_m W_enc[m] + b_enc in plain float64 loops."""
    B, M, d = h_BMd.shape
    c, h = crosscoder, h_BMd.double()
    pre_BS = torch.zeros(B, c.n_latents, dtype=torch.float64)
    for b in range(B):
        for k in range(c.n_latents):
            total = c.b_enc_S[k].item()
            for m in range(M):
                for i in range(d):
                    x = (h[b, m, i].item() - c.mean_Md[m, i].item()) / c.scale_M[m].item()
                    total += x * c.W_enc_MdS[m, i, k].item()
            pre_BS[b, k] = total
    return pre_BS


@settings(max_examples=20, deadline=None)
@given(seeds, objectives, shapes)
def test_encode_and_decode_match_plain_loops(seed, objective, shape):
    crosscoder, h_BMd = make(seed, objective, shape=shape)
    h_BMd = h_BMd[:4]
    pre_BS = pre_activation(crosscoder, h_BMd)
    norms_S = [sum(crosscoder.W_dec_SMd[k, m].double().norm().item() for m in range(shape[0])) for k in range(shape[2])]
    threshold = crosscoder.threshold or 0.0
    expected_BS = torch.where(pre_BS * torch.tensor(norms_S, dtype=torch.float64) > threshold, pre_BS, 0).clamp(min=0)
    safe_BS = far_from_a_jump(crosscoder, pre_BS)
    z_BS = crosscoder.encode(h_BMd)
    torch.testing.assert_close(z_BS[safe_BS], expected_BS[safe_BS].float(), rtol=1e-4, atol=1e-4)

    got_BMd = crosscoder.decode(z_BS)
    for b in range(4):
        for m in range(shape[0]):
            for i in range(shape[1]):
                x = crosscoder.b_dec_Md[m, i].item()
                x += sum(z_BS[b, k].item() * crosscoder.W_dec_SMd[k, m, i].item() for k in range(shape[2]))
                expected = x * crosscoder.scale_M[m].item() + crosscoder.mean_Md[m, i].item()
                assert got_BMd[b, m, i].item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_latents_of_one_member_are_read_from_it_alone_by_hand():
    """Three latents: the first member's, the second's, a shared one; width 1, unit scale, l1 (no threshold)."""
    crosscoder = Crosscoder(
        members=["base@1", "rl@5"],
        objective="dedicated",
        W_enc_MdS=torch.tensor([[[2.0, 0.0, 1.0]], [[0.0, 3.0, 4.0]]]),
        b_enc_S=torch.zeros(3),
        W_dec_SMd=torch.tensor([[[1.0], [0.0]], [[0.0], [1.0]], [[1.0], [1.0]]]),
        b_dec_Md=torch.zeros(2, 1),
        mean_Md=torch.zeros(2, 1),
        scale_M=torch.ones(2),
        threshold=None,
        free_latents=3,
        exclusive_latents=1,
    )
    base_Bd, tuned_Bd = torch.tensor([[1.0]]), torch.tensor([[10.0]])
    assert crosscoder.encode(torch.stack([base_Bd, tuned_Bd], 1)).tolist() == [[2, 30, 41]]
    assert crosscoder.encode_one(base_Bd, 0, "swap").tolist() == [[2, 3, 5]]  # what the other's direction reads here
    assert crosscoder.encode_one(base_Bd, 0, "own").tolist() == [[2, 0, 2]]  # one slot; no slot; one slot for two
    assert crosscoder.encode_one(tuned_Bd, 1, "own").tolist() == [[0, 30, 80]]
    assert crosscoder.readout_raw(1, "own")[0].W_dS.tolist() == [[0, 3, 8]]
    exchange_Sd = directions(crosscoder, "exchange", towards_tuned=True)
    assert exchange_Sd.flatten().tolist() == [-1, 1, 0]  # the base's leaves, the tuned one's comes
    table = latent_table(crosscoder, sum_latents(crosscoder, [torch.ones(4, 2, 1)]), 1)
    assert table["nrn_l1"].tolist() == [0, 1, 0.5] and table["free"].all()
    assert table["cosine"].isna().tolist() == [True, True, False]


def test_one_latent_by_hand():
    crosscoder = Crosscoder(
        members=["base@1", "rl@5"],
        objective="batchtopk",
        W_enc_MdS=torch.tensor([[[1.0]], [[0.5]]]),
        b_enc_S=torch.tensor([0.25]),
        W_dec_SMd=torch.tensor([[[2.0], [-1.0]]]),
        b_dec_Md=torch.tensor([[0.1], [0.2]]),
        mean_Md=torch.tensor([[1.0], [2.0]]),
        scale_M=torch.tensor([2.0, 4.0]),
        threshold=3.7,
        free_latents=1,
    )
    h_BMd = torch.tensor([[[3.0], [4.0]]])  # normalised 1 and 0.5: pre = 1 + 0.25 + 0.25 = 1.5, weighted 1.5 * 3
    assert crosscoder.encode(h_BMd).item() == 1.5
    assert crosscoder.reconstruct(h_BMd).flatten().tolist() == pytest.approx([(3 + 0.1) * 2 + 1, (-1.5 + 0.2) * 4 + 2])
    assert crosscoder.decoder_raw_SMd.flatten().tolist() == [4.0, -4.0]
    # the second member alone, x = 0.5: both slots 0.5 * (1 + 0.5) + 0.25 = 1 (weighted 3, below); own 0.75 (below)
    assert crosscoder.encode_one(h_BMd[:, 1], 1, "swap").item() == 0.0
    # the first member alone, x = 1: both slots 1.75; its own slot twice 2.25
    assert crosscoder.encode_one(h_BMd[:, 0], 0, "swap").item() == 1.75
    assert crosscoder.encode_one(h_BMd[:, 0], 0, "own").item() == 2.25
    crosscoder.threshold = 4.5
    assert crosscoder.encode(h_BMd).item() == 0.0  # exactly at the threshold does not fire


@settings(max_examples=20, deadline=None)
@given(seeds, objectives, normalisations, st.integers(0, 1))
def test_swap_is_the_joint_code_of_equal_normalised_rows(seed, objective, normalisation, member):
    crosscoder, h_BMd = make(seed, objective, normalisation)
    x_Bd = crosscoder.normalise(h_BMd)[:, member]
    everywhere_BMd = x_Bd[:, None] * crosscoder.scale_M[:, None] + crosscoder.mean_Md
    swap_BS = crosscoder.encode_one(h_BMd[:, member], member)
    joint_BS = crosscoder.encode(everywhere_BMd)
    safe_BS = far_from_a_jump(crosscoder, x_Bd @ crosscoder.W_enc_MdS.sum(0) + crosscoder.b_enc_S)
    torch.testing.assert_close(swap_BS[safe_BS], joint_BS[safe_BS], rtol=1e-4, atol=1e-4)
    own_BS = crosscoder.encode_one(h_BMd[:, member], member, "own")
    pre_BS = x_Bd @ crosscoder.W_enc_MdS[member] * 2 + crosscoder.b_enc_S
    safe_BS = far_from_a_jump(crosscoder, pre_BS)
    expected_BS = pre_BS * (pre_BS * latent_norms(crosscoder.W_dec_SMd) > (crosscoder.threshold or 0)) * (pre_BS > 0)
    torch.testing.assert_close(own_BS[safe_BS], expected_BS[safe_BS], rtol=1e-4, atol=1e-4)


@settings(deadline=None)
@given(seeds, objectives, normalisations, shapes)
def test_unfold_undoes_fold(seed, objective, normalisation, shape):
    crosscoder, _ = make(seed, objective, normalisation, shape)
    normalisation_tensors = {"mean": crosscoder.mean_Md, "scale": crosscoder.scale_M}
    if crosscoder.threshold is not None:
        normalisation_tensors["threshold"] = torch.tensor(crosscoder.threshold, dtype=torch.float64)
    facts = {key: getattr(crosscoder, key) for key in ("members", "objective", "free_latents")}
    back = unfold(fold(crosscoder), normalisation_tensors, facts)
    assert (back.members, back.objective, back.free_latents) == (crosscoder.members, objective, shape[2])
    assert back.threshold == crosscoder.threshold
    for name in ("W_enc_MdS", "b_enc_S", "W_dec_SMd", "b_dec_Md", "mean_Md", "scale_M"):
        torch.testing.assert_close(getattr(back, name), getattr(crosscoder, name), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("objective", ["batchtopk", "l1"])
@pytest.mark.parametrize("normalisation", ["shared", "per_model"])
def test_sae_lens_reads_the_export_and_computes_the_same(tmp_path, objective, normalisation):
    crosscoder, h_BMd = make(3, objective, normalisation, shape=(3, 16, 40))
    crosscoder.save(tmp_path, {"seed": 7})
    sae = SAE.load_from_disk(tmp_path)
    assert sae.cfg.architecture() == {"l1": "standard", "batchtopk": "jumprelu"}[objective]
    assert (sae.cfg.d_in, sae.cfg.d_sae) == (48, 40)
    assert (sae.cfg.metadata.members, sae.cfg.metadata.seed) == (crosscoder.members, 7)
    z_BS = crosscoder.encode(h_BMd)
    pre_BS = crosscoder.normalise(h_BMd).flatten(1) @ crosscoder.W_enc_MdS.flatten(0, 1) + crosscoder.b_enc_S
    safe_BS = far_from_a_jump(crosscoder, pre_BS)
    assert safe_BS.float().mean() > 0.9 and 0.1 < (z_BS > 0).float().mean() < 0.9
    with torch.no_grad():
        theirs_BS = sae.encode(h_BMd.flatten(1))
        torch.testing.assert_close(theirs_BS[safe_BS], z_BS[safe_BS], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(sae.decode(z_BS).view_as(h_BMd), crosscoder.decode(z_BS), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("objective", ["batchtopk", "l1"])
def test_load_gives_back_what_was_saved(tmp_path, objective):
    crosscoder, h_BMd = make(4, objective)
    crosscoder.free_latents = 5
    crosscoder.save(tmp_path)
    back = Crosscoder.load(tmp_path)
    assert (back.members, back.objective, back.threshold) == (
        crosscoder.members,
        crosscoder.objective,
        crosscoder.threshold,
    )
    assert back.free_S.tolist() == [True] * 5 + [False] * 2
    torch.testing.assert_close(back.encode(h_BMd), crosscoder.encode(h_BMd), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(back.reconstruct(h_BMd), crosscoder.reconstruct(h_BMd), rtol=1e-4, atol=1e-4)


def test_latents_of_one_member_are_known_after_loading(tmp_path):
    crosscoder, h_BMd = make(4)
    crosscoder.W_enc_MdS[1, :, :2], crosscoder.W_enc_MdS[0, :, 2:4] = 0, 0
    crosscoder.W_dec_SMd[:2, 1], crosscoder.W_dec_SMd[2:4, 0] = 0, 0
    crosscoder.objective, crosscoder.exclusive_latents = "dedicated", 2
    crosscoder.save(tmp_path)
    back = Crosscoder.load(tmp_path)
    assert (back.objective, back.exclusive_latents) == ("dedicated", 2)
    assert not back.W_dec_SMd[:2, 1].any() and not back.W_enc_MdS[0, :, 2:4].any()
    one_BS = [c.encode_one(h_BMd[:, 1], 1, "own") for c in (back, crosscoder)]
    torch.testing.assert_close(*one_BS, rtol=1e-4, atol=1e-4)
    assert not (one_BS[0][:, :2] > crosscoder.b_enc_S[:2].abs() + 1e-6).any()  # nothing of the row is in them


def test_a_latent_without_a_decoder_never_fires(tmp_path):
    for threshold in (0.0, 2.0):
        crosscoder, h_BMd = make(5)
        crosscoder.W_dec_SMd[2], crosscoder.threshold = 0.0, threshold
        crosscoder.save(tmp_path)
        assert (crosscoder.encode(h_BMd)[:, 2] == 0).all()
        assert (SAE.load_from_disk(tmp_path).encode(h_BMd.flatten(1))[:, 2] == 0).all()


def test_a_broken_or_mixed_dictionary_is_refused_by_name(tmp_path):
    (ours, _), (other, _) = make(6), make(7)
    ours.save(tmp_path / "a")
    other.save(tmp_path / "b")
    weights, normalisation = tmp_path / "a/sae_weights.safetensors", tmp_path / "a/normalisation.safetensors"
    good = weights.read_bytes()
    weights.write_bytes((tmp_path / "b/sae_weights.safetensors").read_bytes())
    with pytest.raises(ArtifactError, match=r"a/sae_weights\.safetensors: not the weights"):
        Crosscoder.load(tmp_path / "a")
    weights.write_bytes(good[:-1])
    with pytest.raises(ArtifactError, match=r"a/sae_weights\.safetensors: "):
        Crosscoder.load(tmp_path / "a")
    weights.write_bytes(good)
    normalisation.write_bytes(good)
    with pytest.raises(ArtifactError, match=r"a/normalisation\.safetensors: not a crosscoder"):
        Crosscoder.load(tmp_path / "a")
    normalisation.unlink()
    with pytest.raises(ArtifactError, match=r"a/normalisation\.safetensors: "):
        Crosscoder.load(tmp_path / "a")


def test_saving_gives_the_same_bytes_in_another_process(tmp_path):
    crosscoder, _ = make(8)
    crosscoder.save(tmp_path / "here", {"b": 1, "a": [2.5]})
    code = (
        "import sys, torch; from rlgen.dictionaries.crosscoder import Crosscoder, unfold;"
        "from rlgen.files import read_tensors;"
        "a = Crosscoder.load(sys.argv[1]); a.save(sys.argv[2], {'a': [2.5], 'b': 1})"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "here"), str(tmp_path / "there")]
    subprocess.run(command, check=True, env={"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"})
    assert (tmp_path / "here/cfg.json").read_bytes() == (tmp_path / "there/cfg.json").read_bytes()
    assert json.loads((tmp_path / "here/cfg.json").read_text())["apply_b_dec_to_input"] is False
    mine, theirs = (load_file(tmp_path / side / "normalisation.safetensors") for side in ("here", "there"))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
