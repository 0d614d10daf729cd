"""Attribution: by hand, against finite differences of a plain forward pass, and what must add up."""

import copy
import math

import pytest
import torch
from crosscoders import random_crosscoder
from exchanges import constant_crosscoder, exchange_of, plain_pair
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import LAYER, relative

from rlgen.features import exchange as exchange_module
from rlgen.features.attribution import NODES, attribute, dose_curve, quadrature
from rlgen.features.exchange import Exchange, Pair
from rlgen.interventions.edits import FeatureEdits, directions
from rlgen.models import logprobs

TEXTS = [([1, 5, 6, 7], [8, 9, 4]), ([1, 9], [3, 3, 5, 6, 8]), ([1, 4, 5], [7]), ([1, 7, 7], [])]


@pytest.fixture(scope="module")
def models(tiny_model):
    """A running model and its goal, both without gradients of their own."""
    return [copy.deepcopy(tiny_model).requires_grad_(False), relative(tiny_model).requires_grad_(False)]


def wide(seed: int, S: int = 7, threshold: float | None = None, size: float = 0.3):
    """A dictionary of the tiny model's width whose exchange does not destroy it."""
    crosscoder = random_crosscoder(seed, S=S, d=32, threshold=threshold)
    crosscoder.W_dec_SMd *= size
    crosscoder.W_enc_MdS *= 0.3
    return crosscoder


def exact(model):
    """A copy in float64 throughout: the norms of transformers compute in float32 whatever the model's type."""
    model = copy.deepcopy(model).double()
    for module in model.modules():
        if hasattr(module, "variance_epsilon"):
            size = torch.nn.RMSNorm(module.weight.shape, module.variance_epsilon, dtype=torch.float64)
            size.weight = module.weight
            module.forward = size.forward
    return model


def in_double(crosscoder):
    """The same dictionary in float64."""
    tensors = {k: v.double() for k, v in vars(crosscoder).items() if isinstance(v, torch.Tensor)}
    return type(crosscoder)(**vars(crosscoder) | tensors)


def test_two_latents_by_hand():
    """The odds of two words go from 1:1 to 3:1, a quarter of the way by latent 0; latent 2 lifts both words."""
    log3 = math.log(3)
    moves_Sd = torch.tensor([[0.25 * log3, 0], [0.75 * log3, 0], [5.0, 5.0]], dtype=torch.float64)
    goal_Vd = torch.tensor([[log3, 0.0]] * 2, dtype=torch.float64)
    pair = plain_pair(torch.zeros(2, 2, dtype=torch.float64), goal_Vd, [([0], [1, 0]), ([0, 0], [1])])
    exchange = exchange_of(constant_crosscoder(moves_Sd))
    distance = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    curve_ID = dose_curve(pair, exchange, [0, 1], [0.0, 1.0])
    assert curve_ID.tolist() == [pytest.approx([distance, 0], abs=1e-12)] * 2
    share_IF = attribute(pair, exchange, {0: 1.0, 1: 1.0}, nodes=12)
    assert share_IF.tolist() == [pytest.approx([0.25 * distance, 0.75 * distance, 0], abs=1e-9)] * 2


def gated_kl(models, crosscoder, running, latents, pair, gate_F, dose):
    """KL(goal || running + gated exchange) of one text: a plain hook, a plain forward pass, one position at a time."""
    prompt, text = pair
    ids_1T, first = torch.tensor([prompt + text]), len(prompt) - 1
    raw_S2d = crosscoder.decoder_raw_SMd

    def hook(_block, _inputs, h_1Td):
        h_1Td = h_1Td.clone()
        for t in range(first, ids_1T.shape[1]):
            f_S = crosscoder.encode_one(h_1Td[0, t].clone()[None], running)[0]
            for gate, k in zip(gate_F, latents, strict=True):
                h_1Td[0, t] += dose * gate * f_S[k] * (raw_S2d[k, 1 - running] - raw_S2d[k, running])
        return h_1Td

    handle = models[0].model.layers[LAYER].register_forward_hook(hook)
    try:
        own = models[0](ids_1T).logits[0].log_softmax(-1)
    finally:
        handle.remove()
    goal = models[1](ids_1T).logits[0].log_softmax(-1)
    at = range(first, first + len(text))
    return sum(float((goal[t].exp() * (goal[t] - own[t])).sum()) for t in at) / len(text)


@pytest.mark.parametrize("running", [0, 1])
def test_finite_differences_of_a_plain_forward_pass_in_float64(models, running):
    doubles = [exact(model) for model in models]
    crosscoder, latents, doses, step = in_double(wide(2, threshold=2.0)), [0, 2, 3, 6], {0: 1.5, 1: 0.7}, 1e-5
    exchange = exchange_of(crosscoder, running, latents)
    share_IF = attribute(Pair(*doubles, LAYER, False, TEXTS), exchange, doses)
    expected_IF = torch.zeros_like(share_IF)
    for i, dose in doses.items():
        for place, weight in zip(*quadrature(3), strict=True):
            for k in range(len(latents)):
                ends = []
                for sign in (1, -1):
                    gate_F = [place + sign * step * (j == k) for j in range(len(latents))]
                    ends.append(gated_kl(doubles, crosscoder, running, latents, TEXTS[i], gate_F, dose))
                expected_IF[i, k] -= weight * (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close(share_IF, expected_IF, rtol=1e-6, atol=1e-9)
    assert (share_IF.abs() > 1e-4).any()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), dose=st.floats(0.2, 1.5), thresholded=st.booleans(), running=st.integers(0, 1))
def test_attributions_add_up_to_what_the_exchange_removes(models, seed, dose, thresholded, running):
    exchange = exchange_of(wide(seed, threshold=2.0 if thresholded else None, size=0.1), running)
    pair, samples = Pair(*models, LAYER, False, TEXTS), [2, 0, 1]
    curve_ID = dose_curve(pair, exchange, samples, [0.0, dose])
    share_IF = attribute(pair, exchange, dict.fromkeys(samples, dose), nodes=20)  # untrained models are rough
    removed_I = curve_ID[:, 0] - curve_ID[:, 1]
    torch.testing.assert_close(share_IF.sum(1).double(), removed_I, rtol=1e-3, atol=2e-4)


def test_three_nodes_are_nearer_than_eight_equal_steps(models):
    """What a batch costs is its nodes: three of Gauss-Legendre do better than eight midpoints."""
    exchange, pair = exchange_of(wide(5, size=0.02)), Pair(*models, LAYER, False, TEXTS)
    doses = {0: 1.0, 1: 1.0, 2: 1.0}
    exact_IF, three_IF = attribute(pair, exchange, doses, nodes=16), attribute(pair, exchange, doses)
    steps = [attribute_at(pair, exchange, (i + 0.5) / 8) for i in range(8)]
    assert (three_IF - exact_IF).abs().max() < (sum(steps) / 8 - exact_IF).abs().max()


def attribute_at(pair, exchange, place):
    """The integrand at one place of the path, for the first three texts at dose 1."""
    scale_WB, gate_F = torch.full((1, 3), place), torch.ones(len(exchange.pool_F))
    outcome = pair.run([0, 1, 2], exchange, gate_F, scale_WB, slopes=True)
    return -exchange.pull(outcome.h_Nd, outcome.slope_WNd[0], outcome.row_N, 3)


@pytest.mark.parametrize("everywhere", [False, True])
def test_small_parts_give_what_one_batch_gives(models, monkeypatch, everywhere):
    exchange, doses = exchange_of(wide(7, threshold=2.0)), {3: 2.0, 1: 0.5, 0: 1.0, 2: 1.5}
    whole_IF = attribute(Pair(*models, LAYER, everywhere, TEXTS), exchange, doses)
    monkeypatch.setattr(exchange_module, "ROWS_PER_PRODUCT", 2)
    monkeypatch.setattr(logprobs, "POSITIONS", 2)
    parts_IF = attribute(Pair(*models, LAYER, everywhere, TEXTS, batch_size=1), exchange, doses)
    torch.testing.assert_close(parts_IF, whole_IF, rtol=1e-4, atol=1e-6)
    assert parts_IF[0].eq(0).all() and parts_IF[1:].ne(0).any(1).all()  # a text without tokens has no distance
    alone_IF = attribute(Pair(*models, LAYER, everywhere, TEXTS), exchange, {0: 1.0})
    torch.testing.assert_close(alone_IF[0], whole_IF[2], rtol=1e-4, atol=1e-6)  # neighbours do not matter


@pytest.mark.parametrize("running", [0, 1])
@pytest.mark.parametrize("readout", ["swap", "own"])
@pytest.mark.parametrize("threshold", [None, 2.0])
def test_the_change_is_the_one_that_edits_make(running, readout, threshold):
    crosscoder, latents = random_crosscoder(3, threshold=threshold), [0, 2, 5]
    h_Nd = torch.randn(6, crosscoder.d, generator=torch.Generator().manual_seed(0))
    change_Nd = Exchange(crosscoder, running, readout, torch.tensor(latents)).change(
        h_Nd, torch.tensor([1.0, 0.5, 2.0])
    )
    mask_CS = torch.zeros(1, crosscoder.n_latents)
    mask_CS[0, latents] = torch.tensor([1.0, 0.5, 2.0])
    direction_Sd = directions(crosscoder, "exchange", towards_tuned=running == 0)
    edits = FeatureEdits(crosscoder, running, readout, direction_Sd, mask_CS, torch.ones(1))
    torch.testing.assert_close(change_Nd, edits.on("cpu").delta(torch.tensor([0]))(h_Nd[None])[0], rtol=1e-4, atol=1e-5)


def test_a_bfloat16_model_gives_nearly_the_same_scores(models):
    exchange, doses = exchange_of(wide(11)), {0: 1.0, 1: 1.0, 2: 1.0}
    exact_IF = attribute(Pair(*models, LAYER, False, TEXTS), exchange, doses)
    halves = [copy.deepcopy(model).bfloat16() for model in models]
    rounded_IF = attribute(Pair(*halves, LAYER, False, TEXTS), exchange, doses)
    assert rounded_IF.dtype == torch.float32
    assert 0 < (rounded_IF - exact_IF).norm() / exact_IF.norm() < 0.2


@pytest.mark.parametrize("S", [7, 300])
def test_a_batch_is_three_forward_backward_passes_however_many_latents(models, S):
    """Blocks below the edit see a batch once and no gradient, those above see it once per node, both ways."""
    seen: dict[str, list[int]] = {"forward": [], "forward above": [], "backward": [], "backward above": []}

    def count(name):
        return lambda _block, _inputs, h_BTd: seen[name].append(len(h_BTd[0] if isinstance(h_BTd, tuple) else h_BTd))

    handles = []
    for place, above in ((LAYER - 1, ""), (-1, " above")):
        block = models[0].model.layers[place]
        handles.append(block.register_forward_hook(count(f"forward{above}")))
        handles.append(block.register_full_backward_hook(count(f"backward{above}")))
    try:
        doses = dict.fromkeys(range(3), 1.0)
        share_IF = attribute(Pair(*models, LAYER, False, TEXTS), exchange_of(wide(1, S=S)), doses)
    finally:
        for handle in handles:
            handle.remove()
    assert share_IF.shape == (3, S) and NODES == 3
    assert seen == {"forward": [3], "forward above": [9], "backward": [], "backward above": [9]}
