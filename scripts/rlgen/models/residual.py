"""Reading the residual stream of a model, forward stopped at the layer, and going on from it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

TOKENS_PER_PASS = 65536  # what one forward pass reads at most: its memory grows with them


def sequences_per_pass(longest: int, most: int) -> int:
    """How many sequences of up to `longest` tokens one forward pass reads: `most`, or fewer where they are long.

    >>> sequences_per_pass(64, 256), sequences_per_pass(512, 256), sequences_per_pass(100_000, 256)
    (256, 128, 1)
    """
    return max(1, min(most, TOKENS_PER_PASS // longest))


@contextmanager
def stopped_at(model: PreTrainedModel, layer: int) -> Iterator[PreTrainedModel]:
    """Within the context `model.model(...)` ends at block `layer` and returns its raw output."""
    body = model.model
    layers, norm = body.layers, body.norm
    if not 0 <= layer < len(layers):
        raise ValueError(f"stream.layer={layer}: the model has blocks 0..{len(layers) - 1}")
    body.layers, body.norm = layers[: layer + 1], torch.nn.Identity()
    try:
        yield body
    finally:
        body.layers, body.norm = layers, norm


@contextmanager
def resumed_after(model: PreTrainedModel, layer: int) -> Iterator[PreTrainedModel]:
    """Within the context `model.model(inputs_embeds=...)` takes the output of block `layer` and runs the rest.

    Raises ValueError for a model whose blocks attend in different ways: transformers picks each block's mask by its
    place in the list, which is another one here.
    """
    body = model.model
    layers, kinds = body.layers, set(getattr(body.config, "layer_types", None) or ())
    if len(kinds) > 1:
        raise ValueError(f"blocks that attend in different ways ({', '.join(sorted(kinds))}) cannot be run in part")
    body.layers = layers[layer + 1 :]
    try:
        yield body
    finally:
        body.layers = layers


@torch.inference_mode()
def residual_stream(model: PreTrainedModel, ids_BT: torch.Tensor, layer: int) -> torch.Tensor:
    """Output of block `layer` in the model's own precision, on the CPU (B, T, d), for sequences padded on the right.

    No attention mask is needed: attention is causal, so padding after a sequence cannot reach its positions.
    """
    with stopped_at(model, layer) as body:
        return body(input_ids=ids_BT.to(model.device), use_cache=False).last_hidden_state.cpu()
