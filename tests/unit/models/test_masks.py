"""Masks over a cache: by a loop over columns, and by the texts that transformers itself writes in a window."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, MistralConfig, Phi3Config, Qwen2Config, Starcoder2Config

from rlgen.models.generation import Limits, Prompts, generate
from rlgen.models.masks import allowed, allowed_at, window_of

SIZE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 64,
    "initializer_range": 0.5,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
WINDOWS = {
    "mistral": MistralConfig(**SIZE, sliding_window=8),
    "phi3": Phi3Config(**SIZE, sliding_window=8),
    "starcoder2": Starcoder2Config(**SIZE, sliding_window=8),
    "qwen2, every block": Qwen2Config(**SIZE, use_sliding_window=True, sliding_window=8, max_window_layers=0),
    "qwen2, no block": Qwen2Config(**SIZE),
}
windows = st.none() | st.integers(1, 9)


def seen(query: int, key: int, padding: int, window: int | None) -> bool:
    return key == query or (padding <= key < query and (window is None or query - key < window))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=3), st.integers(0, 6), st.integers(1, 5), windows)
def test_masks_by_a_loop(padding, first, queries, window):
    mask_B1QK = allowed(torch.tensor(padding), first, queries, torch.float32, window)
    assert mask_B1QK.shape == (len(padding), 1, queries, first + queries)
    for b, before in enumerate(padding):
        for q in range(queries):
            for k in range(first + queries):
                expected = 0 if seen(first + q, k, before, window) else torch.finfo(torch.float32).min
                assert mask_B1QK[b, 0, q, k] == expected
            if before <= first + q:  # a token's own row of the mask, wherever the other rows stand
                end = first + queries
                one = allowed_at(torch.tensor([first + q]), torch.tensor([before]), end, torch.float32, window)
                assert torch.equal(one[0, 0, 0], mask_B1QK[b, 0, q])


def test_windows_as_configs_state_them():
    assert {name: window_of(config) for name, config in WINDOWS.items()} == {
        **dict.fromkeys(WINDOWS, 8),
        "qwen2, no block": None,
    }
    mixed = Qwen2Config(**SIZE, use_sliding_window=True, sliding_window=8, max_window_layers=1)
    with pytest.raises(ValueError, match=r"different ways \(full_attention, sliding_attention\)"):
        window_of(mixed)


@torch.inference_mode()
@pytest.mark.parametrize("name", WINDOWS)
def test_texts_beyond_the_window_are_those_of_transformers(name):
    """40 tokens at a window of 8, prompts of two lengths."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(WINDOWS[name]).eval()
    ids_BP = torch.randint(50, (2, 20))
    attention_BP = (torch.arange(20) >= torch.tensor([[0], [6]])).long()
    ours = generate(model, Prompts(ids_BP, attention_BP), Limits(20, eos_id=-1, pad_id=0))
    for row, before in enumerate((0, 6)):
        text = ids_BP[row, before:].tolist()
        for _ in range(20):
            text.append(int(model(torch.tensor([text]), use_cache=False).logits[0, -1].argmax()))
        assert ours[row].tolist() == text[20 - before :]
    assert len(set(ours[0].tolist())) > 5  # a text that repeats itself would tell nothing
