"""Mean and scale that bring residual-stream rows to squared norm d, so that one loss weighs all models alike."""

from collections.abc import Sequence
from typing import Literal

import torch

from rlgen.activations.batches import ahead
from rlgen.activations.shards import Shards

PIECE = 128  # rows turned into float64 at a time: they stay in the processor's cache


def statistics(
    shards: Shards, training: Sequence[int], kind: Literal["shared", "per_model"]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean_Md, scale_M) in raw units, from the training shards only, in one pass with float64 sums.

    mean = E[h], scale = sqrt(E||h - mean||^2 / d): a row (h - mean) / scale has squared norm d on average.
    `per_model` gives every member its own; `shared` gives all members the first member's, so that what a tuned model
    adds has to appear in latents and cannot hide in a mean or a bias (docs/method.md, section 4).

    Raises ValueError naming a member whose activations do not vary.
    """
    n, sum_Md, squares_M = 0, 0.0, 0.0
    for rows_NMd in ahead(shards.read([index]).activations_NMd for index in training):
        n += len(rows_NMd)
        for piece_NMd in rows_NMd.split(PIECE):
            piece_NMd = piece_NMd.double()
            sum_Md = sum_Md + piece_NMd.sum(0)
            squares_M = squares_M + piece_NMd.square_().sum((0, 2))
    mean_Md = sum_Md / n
    variance_M = squares_M / n - mean_Md.square().sum(1)  # E||h - mean||^2
    for member, variance in zip(shards.members, variance_M.tolist(), strict=True):
        if not variance > 0:
            raise ValueError(f"activations of {member} do not vary over {n} rows (variance {variance:g})")
    scale_M = (variance_M / shards.d).sqrt()
    if kind == "shared":
        mean_Md, scale_M = mean_Md[:1].expand_as(mean_Md), scale_M[:1].expand_as(scale_M)
    return mean_Md.float().contiguous(), scale_M.float().contiguous()
