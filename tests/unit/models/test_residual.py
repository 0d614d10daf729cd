"""The stopped forward gives a block's raw output, and leaves the model as it was."""

import copy

import pytest
import torch

from rlgen.models.residual import residual_stream, sequences_per_pass, stopped_at

IDS_BT = torch.tensor([[1, 8, 9, 10, 5, 11, 12], [1, 9, 8, 5, 13, 13, 13]])


@torch.inference_mode()
def block_output(model, ids_BT, layer):
    """What block `layer` hands on in a whole forward, seen by a hook."""
    seen = []
    handle = model.model.layers[layer].register_forward_hook(lambda _module, _inputs, h_BTd: seen.append(h_BTd))
    model(ids_BT, use_cache=False)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_equals_the_blocks_output_in_a_whole_forward(tiny_model, layer):
    h_BTd = residual_stream(tiny_model, IDS_BT, layer)
    assert h_BTd.dtype == torch.float32
    torch.testing.assert_close(h_BTd, block_output(tiny_model, IDS_BT, layer))


@pytest.mark.parametrize("layer", [0, 1])
def test_equals_transformers_hidden_states(tiny_model, layer):
    """hidden_states[0] are the embeddings; the last entry is normed, so it stands for no block."""
    with torch.inference_mode():
        expected = tiny_model(IDS_BT, output_hidden_states=True).hidden_states[layer + 1]
    torch.testing.assert_close(residual_stream(tiny_model, IDS_BT, layer), expected)


def test_padding_on_the_right_does_not_reach_a_sequence(tiny_model):
    alone = residual_stream(tiny_model, IDS_BT[1:, :4], 1)
    torch.testing.assert_close(residual_stream(tiny_model, IDS_BT, 1)[1:, :4], alone, rtol=1e-4, atol=1e-5)


def test_a_model_in_bfloat16_gives_its_own_numbers(tiny_model):
    model = copy.deepcopy(tiny_model).bfloat16()
    h_BTd = residual_stream(model, IDS_BT, 1)
    assert h_BTd.dtype == torch.bfloat16
    assert torch.equal(h_BTd, block_output(model, IDS_BT, 1))


def test_a_pass_reads_at_most_65536_tokens():
    assert [sequences_per_pass(longest, 256) for longest in (1, 256, 257, 512, 65536, 65537)] == [
        256,
        256,
        255,
        128,
        1,
        1,
    ]
    assert sequences_per_pass(512, 5) == 5


class Stop(Exception):
    pass


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_whole_again_afterwards(tiny_model, fails):
    layers, norm, names = tiny_model.model.layers, tiny_model.model.norm, list(tiny_model.state_dict())
    with torch.inference_mode():
        before = tiny_model(IDS_BT).logits
    try:
        with stopped_at(tiny_model, 0) as body:
            assert len(body.layers) == 1
            if fails:
                raise Stop
    except Stop:
        pass
    assert tiny_model.model.layers is layers and tiny_model.model.norm is norm
    assert list(tiny_model.state_dict()) == names
    with torch.inference_mode():
        assert torch.equal(tiny_model(IDS_BT).logits, before)


@pytest.mark.parametrize("layer", [-1, 3])
def test_a_layer_beyond_the_model_is_refused(tiny_model, layer):
    layers = tiny_model.model.layers
    with pytest.raises(ValueError, match=rf"stream.layer={layer}: the model has blocks 0\.\.2"):
        residual_stream(tiny_model, IDS_BT, layer)
    assert tiny_model.model.layers is layers
