"""The output head is the class's own: what scales or caps logits is not left out, and no block is kept alive."""

import gc
import weakref

import pytest
import torch
from transformers import AutoModelForCausalLM, CohereConfig, Gemma2Config, GraniteConfig, Qwen3Config

from rlgen.models.head import output_head

SMALL = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "intermediate_size": 64,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
# class, what it does to logits W h
HEADS = {
    "the matrix alone": (Qwen3Config(**SMALL), lambda logits: logits),
    "multiplied": (CohereConfig(**SMALL, logit_scale=0.25), lambda logits: 0.25 * logits),
    "divided": (GraniteConfig(**SMALL, logits_scaling=3.0), lambda logits: logits / 3),
    "capped softly": (Gemma2Config(**SMALL, final_logit_softcapping=0.5), lambda logits: 0.5 * (logits / 0.5).tanh()),
}


def model_of(config):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


@torch.inference_mode()
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("shape", [(7,), (3, 5), (4, 1)])
def test_logits_are_the_classes_own(name, shape):
    config, after = HEADS[name]
    model, hidden = model_of(config), torch.randn(*shape, 32)
    found, matrix = output_head(model)(hidden), model.lm_head(hidden)
    assert found.shape == (*shape, 50)
    torch.testing.assert_close(found, after(matrix), rtol=1e-6, atol=1e-7)
    if name == "the matrix alone":
        assert torch.equal(found, matrix)


@torch.inference_mode()
@pytest.mark.parametrize("name", HEADS)
def test_after_the_body_it_gives_the_whole_forwards_logits(name):
    model, ids_BT = model_of(HEADS[name][0]), torch.arange(12).view(2, 6)
    hidden_BTd = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
    torch.testing.assert_close(output_head(model)(hidden_BTd), model(ids_BT, use_cache=False).logits)


def test_the_model_may_go_while_its_head_stays():
    """A goal keeps the head of a model of billions of weights: its blocks must not stay with it."""
    model = model_of(HEADS["divided"][0])
    head, block = output_head(model), weakref.ref(model.model.layers[0])
    expected = head(torch.ones(1, 32))
    del model
    gc.collect()
    assert block() is None and torch.equal(head(torch.ones(1, 32)), expected)
