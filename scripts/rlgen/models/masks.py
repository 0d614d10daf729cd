"""Which columns a token may attend to: the causal mask over a cache, with the model's window where it has one.

Shapes: B (or A) rows, Q queries, K keys, W columns of a cache.
"""

import torch
from transformers import PretrainedConfig


def window_of(config: PretrainedConfig) -> int | None:
    """Keys that a token sees, itself included; None: all before it.

    Raises ValueError for a model whose blocks attend in different ways: one mask cannot serve them.
    """
    kinds = sorted(set(getattr(config, "layer_types", None) or ()))
    if len(kinds) > 1:
        raise ValueError(f"blocks that attend in different ways ({', '.join(kinds)}) cannot be run under one mask")
    return None if kinds == ["full_attention"] else getattr(config, "sliding_window", None)


def allowed(padding_B: torch.Tensor, first: int, queries: int, dtype: torch.dtype, window: int | None) -> torch.Tensor:
    """Additive attention mask (B, 1, Q, first+Q) of the columns first, first+1, ...: 0 where a key may be seen.

    Every query sees the columns up to its own, less the row's padding, and of these the last `window`. Padding itself
    sees itself, so that no query is left without a key.
    """
    column_K = torch.arange(first + queries, device=padding_B.device)
    query_Q1 = column_K[first:, None]
    past_BQK = (column_K <= query_Q1) & (column_K >= padding_B[:, None, None])
    if window is not None:
        past_BQK &= column_K > query_Q1 - window
    return additive(past_BQK | (column_K == query_Q1), dtype)


def allowed_at(
    column_A: torch.Tensor, padding_A: torch.Tensor, end: int, dtype: torch.dtype, window: int | None
) -> torch.Tensor:
    """The same for one query per row, which stands in a column of its own: (A, 1, 1, end)."""
    column_W = torch.arange(end, device=column_A.device)
    seen_AW = (column_W >= padding_A[:, None]) & (column_W <= column_A[:, None])
    if window is not None:
        seen_AW &= column_W > column_A[:, None] - window
    return additive(seen_AW[:, None], dtype)


def additive(seen_BQK: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """0 where a key is seen; the lowest finite number stands for "no", as in transformers (B, 1, Q, K)."""
    mask_BQK = torch.zeros(seen_BQK.shape, dtype=dtype, device=seen_BQK.device)
    return mask_BQK.masked_fill_(~seen_BQK, torch.finfo(dtype).min)[:, None]
