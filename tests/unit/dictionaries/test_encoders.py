"""Encoders that bend: numbers by hand, loops, the kernel they stand for, gradients, one-sided readouts, files."""

import json
import math
from dataclasses import replace

import pytest
import torch
from crosscoders import activations, random_crosscoder
from sae_lens import SAE

from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.dictionaries.encoders import Bend, TrainedBend, curve
from rlgen.dictionaries.member_maps import fit_maps
from rlgen.dictionaries.parameters import Moments, Parameters
from rlgen.dictionaries.plain_step import PlainStep
from rlgen.dictionaries.ranks import ALONE
from rlgen.dictionaries.settings import Recipe
from rlgen.dictionaries.step import Training, step_made_by
from rlgen.dictionaries.training import finished
from rlgen.interventions.edits import FeatureEdits, directions

KINDS = ("mlp", "kernel")
NONE = torch.zeros(0, dtype=torch.int64)


def bent_crosscoder(kind: str, seed: int = 0, M: int = 2, threshold: float | None = None) -> Crosscoder:
    """A random dictionary (7 latents, width 5) with six hidden units."""
    g = torch.Generator().manual_seed(seed + 50)
    parts = (torch.randn(*shape, generator=g) for shape in ((M * 5, 6), (6,), (6, 7)))
    return replace(random_crosscoder(seed, M=M, threshold=threshold), bend=Bend(kind, *parts))


def slow_code(c: Crosscoder, x_BMd: torch.Tensor) -> list[list[float]]:
    """The code of normalised rows of all members in plain loops, float64."""
    rows = []
    for x_Md in x_BMd.double().tolist():
        x = [value for x_d in x_Md for value in x_d]
        hidden = [
            c.bend.c_H[j].item() + sum(x[i] * c.bend.V_XH[i, j].item() for i in range(len(x)))
            for j in range(len(c.bend.c_H))
        ]
        bent = [max(h, 0) if c.bend.kind == "mlp" else math.sqrt(2 / len(hidden)) * math.cos(h) for h in hidden]
        row = []
        for k in range(c.n_latents):
            pre = c.b_enc_S[k].item() + sum(x[i] * c.W_enc_MdS.flatten(0, 1)[i, k].item() for i in range(len(x)))
            pre += sum(bent[j] * c.bend.U_HS[j, k].item() for j in range(len(bent)))
            size = sum(math.hypot(*c.W_dec_SMd[k, m].tolist()) for m in range(len(x_Md)))
            row.append(pre if pre > 0 and (c.threshold is None or pre * size > c.threshold) else 0.0)
        rows.append(row)
    return rows


def test_one_hidden_unit_by_hand():
    bend = Bend("mlp", torch.tensor([[2.0], [-1.0]]), torch.tensor([0.5]), torch.tensor([[3.0, -1.0]]))
    x_BX = torch.tensor([[1.0, 1.0], [0.0, 1.0]])  # hidden 1.5, and -.5 that the unit cuts off
    assert bend.pre(x_BX).tolist() == [[4.5, -1.5], [0, 0]]
    kernel = replace(bend, kind="kernel").pre(x_BX)
    root = math.sqrt(2)
    assert kernel[0].tolist() == pytest.approx([3 * root * math.cos(1.5), -root * math.cos(1.5)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threshold", [None, 3.0])
def test_codes_match_plain_loops(kind, threshold):
    c = bent_crosscoder(kind, threshold=threshold)
    h_BMd = activations(0)
    expected_BS = torch.tensor(slow_code(c, c.normalise(h_BMd)))
    torch.testing.assert_close(c.encode(h_BMd), expected_BS, rtol=1e-4, atol=1e-4, check_dtype=False)
    linear_BS = replace(c, bend=None).encode(h_BMd)
    assert not torch.allclose(linear_BS, c.encode(h_BMd))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("member", [0, 1, 2])
def test_a_member_alone_is_the_joint_code_of_the_slots_it_fills(kind, member):
    c = bent_crosscoder(kind, M=3, threshold=3.0)
    h_Bd = activations(3, M=3)[:, member]
    x_B1d = ((h_Bd - c.mean_Md[member]) / c.scale_M[member])[:, None]
    alone_3 = 3 * torch.nn.functional.one_hot(torch.tensor(member), 3)[:, None]
    c.maps = fit_maps([activations(5, B=50, M=3)])
    said = [h_Bd.double() @ c.maps.map_MMdd[member, o] + c.maps.offset_MMd[member, o] for o in range(3)]
    for readout, x_BMd in {
        "swap": x_B1d.expand(-1, 3, -1),
        "own": x_B1d * alone_3,
        "mapped": c.normalise(torch.stack(said, 1).float()),
    }.items():
        expected_BS = torch.tensor(slow_code(c, x_BMd), dtype=torch.float32)
        torch.testing.assert_close(c.encode_one(h_Bd, member, readout), expected_BS, rtol=1e-3, atol=1e-3)
        one, floor_S = c.readout_raw(member, readout)
        pre_BS = one.pre(h_Bd)
        torch.testing.assert_close(pre_BS * (pre_BS > floor_S), expected_BS, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_edits_read_by_the_bent_encoder(kind):
    c = bent_crosscoder(kind)
    direction_Sd, mask_CS = directions(c, "exchange", True), torch.tensor([[1, 0, 1, 0, 0, 1, 0]]).bool()
    edits = FeatureEdits(c, 0, "swap", direction_Sd, mask_CS, torch.tensor([1.5]))
    h_BTd = activations(2, B=4, M=3)  # four rows of three tokens
    added_BTd = edits.on("cpu").take(torch.zeros(4, dtype=torch.long))(h_BTd) - h_BTd
    code_BTS = c.encode_one(h_BTd.flatten(0, 1), 0).view(4, 3, 7) * mask_CS[0]
    torch.testing.assert_close(added_BTd, 1.5 * code_BTS @ direction_Sd, rtol=1e-4, atol=1e-4)


def test_random_features_stand_for_a_gaussian_kernel():
    """With many features their products are the kernel, of the width that the recipe says."""
    bend = TrainedBend("kernel", 200_000, 1, 2, 3, 0.7, 0)
    g = torch.Generator().manual_seed(1)
    x_BX, y_BX = torch.randn(8, 6, generator=g), torch.randn(8, 6, generator=g)
    features = [curve("kernel", z_BX @ bend.V_HX.T + bend.c_H) for z_BX in (x_BX, y_BX)]
    exact_BB = torch.exp(-torch.cdist(x_BX, y_BX).square() / (2 * (0.7**2 * 6)))
    torch.testing.assert_close(features[0] @ features[1].T, exact_BB, rtol=0, atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences_in_float64(kind):
    bend = TrainedBend(kind, 4, 5, 2, 3, 1.0, 0).double()
    names = [name for name, _ in bend.named_parameters()]
    assert names == (["U_SH"] if kind == "kernel" else ["V_HX", "c_H", "U_SH"])
    g = torch.Generator().manual_seed(2)
    for parameter in bend.parameters():
        parameter.data = torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    x_BX = torch.randn(6, 6, generator=g, dtype=torch.float64)

    def of(*values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(bend, dict(zip(names, values, strict=True)), (x_BX,))

    assert torch.autograd.gradcheck(of, tuple(p.detach().requires_grad_() for p in bend.parameters()))
    trained_BS = bend.trained().pre(x_BX)
    torch.testing.assert_close(trained_BS, bend(x_BX).detach())


@pytest.mark.parametrize("kind", KINDS)
def test_it_starts_as_the_linear_one_and_leaves_its_losses_as_they_were(kind):
    recipe = Recipe(latents=12, k=2, encoder=kind, encoder_units=5)
    bend = TrainedBend(kind, 5, 12, 2, 6, 1.0, 3)
    steps = [
        PlainStep(recipe, parameters := Parameters(12, 2, 6, 12, True, 0.3, 3, bend=given), Moments.zero(parameters))
        for given in (None, bend)
    ]
    rows_BMd = torch.randn(9, 2, 6, generator=torch.Generator().manual_seed(4))
    losses = [step.losses(rows_BMd, 0.0, NONE).loss.item() for step in steps]
    assert losses[0] == losses[1]
    for _ in range(3):
        steps[1].advance(rows_BMd, 0, 1e-2, 0.0, NONE)
    assert bend.U_SH.any() and steps[1].losses(rows_BMd, 0.0, NONE).loss.item() < losses[0]


def rows_that_fire_on_sums(seed: int, B: int) -> torch.Tensor:
    """Two directions whose activation is the length of a hidden plane's part: no linear map of the row finds it."""
    g = torch.Generator().manual_seed(seed)
    plane_B2 = torch.randn(B, 2, generator=g)
    directions_2d = torch.eye(8)[2:4]
    active_B2 = torch.stack([plane_B2[:, 0].abs(), plane_B2[:, 1].abs()], 1)
    h_Bd = active_B2 @ directions_2d
    h_Bd[:, :2] += plane_B2
    return torch.stack([h_Bd, h_Bd], 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dictionary_learns_resumes_and_returns_from_its_files(kind, tmp_path):
    recipe = Recipe(latents=16, k=3, steps=120, batch_rows=128, learning_rate=5e-3, encoder=kind, encoder_units=32)
    training, again = (Training.start(recipe, 2, 8, 0, "cpu") for _ in range(2))
    for step in range(recipe.steps):
        training.advance(rows_that_fire_on_sums(step, 128))
        if step == 59:
            tensors, facts = training.state()
            again.restore({name: tensor.clone() for name, tensor in tensors.items()}, json.loads(json.dumps(facts)))
    for step in range(60, recipe.steps):
        again.advance(rows_that_fire_on_sums(step, 128))
    ends = [finished(one, ["base@1", "rl@5"]) for one in (training, again)]
    for name in ("V_XH", "c_H", "U_HS"):
        assert torch.equal(*(getattr(end.bend, name) for end in ends)), name
    assert torch.equal(ends[0].W_dec_SMd, ends[1].W_dec_SMd)
    explained = [float(point["fve"]) for _, point in training.points]
    assert explained[-1] > 0.6 > explained[0] + 0.3
    h_BMd = rows_that_fire_on_sums(999, 64)
    ends[0].mean_Md, ends[0].scale_M = torch.randn(2, 8), torch.tensor([0.5, 2.0])
    ends[0].save(tmp_path)
    back = Crosscoder.load(tmp_path)
    assert back.bend.kind == kind
    torch.testing.assert_close(back.normalise(h_BMd), ends[0].normalise(h_BMd))
    x_BX = back.normalise(h_BMd).flatten(1)
    torch.testing.assert_close(back.bend.pre(x_BX), ends[0].bend.pre(x_BX), rtol=1e-3, atol=1e-3)
    with pytest.raises(Exception, match=f"crosscoder-{kind}"):  # and not read as a linear one
        SAE.load_from_disk(tmp_path)


def test_the_compiled_step_is_for_linear_encoders():
    assert {step_made_by("cpu", ALONE, Recipe(encoder=kind)) for kind in KINDS} == {"torch"}


def test_what_was_trained_before_says_nothing_of_its_encoder():
    assert not {"encoder", "encoder_units", "kernel_width"} & set(Recipe().model_dump())
    assert Recipe(encoder="mlp").model_dump()["encoder"] == "mlp" and Recipe(encoder="mlp").hidden_units == 256
