"""Log-probabilities of tokens from final hidden states, for vocabularies too large to keep logits of whole texts.

Shapes: B texts, T positions, d width, V vocabulary, M positions that count.
"""

from collections.abc import Iterator

import torch

from rlgen.models.head import Head

POSITIONS = 512  # positions whose logits stand in memory together: 0.3 GB in float32 for 150,000 tokens


@torch.inference_mode()
def token_logprobs(
    head: Head, hidden_BTd: torch.Tensor, ids_BT: torch.Tensor, mask_BT: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability (nats, float32) of each token that the hidden states predict, and whether it is the likeliest.

    Both (B, T); 0 and True where the mask is False.
    """
    logprob_BT = torch.zeros(mask_BT.shape, device=hidden_BTd.device)
    greedy_BT = torch.ones_like(mask_BT)
    for rows_M, columns_M in _slices(mask_BT):
        logprob_MV = head(hidden_BTd[rows_M, columns_M]).float().log_softmax(-1)
        ids_M = ids_BT[rows_M, columns_M]
        logprob_BT[rows_M, columns_M] = logprob_MV.gather(1, ids_M[:, None]).squeeze(1)
        greedy_BT[rows_M, columns_M] = logprob_MV.argmax(-1) == ids_M
    return logprob_BT, greedy_BT


@torch.inference_mode()
def mean_kl(
    goal_head: Head, goal_BTd: torch.Tensor, head: Head, hidden_BTd: torch.Tensor, mask_BT: torch.Tensor
) -> torch.Tensor:
    """Mean over a text's positions of KL(goal || model), nats (B,), in float32 at least.

    Where one head has more rows than the other, as after tokens were added or rows padded to a round number, both
    distributions are those over the ids that both have.
    """
    kl_BT = torch.zeros(mask_BT.shape, dtype=_precise(hidden_BTd.dtype), device=hidden_BTd.device)
    for rows_M, columns_M in _slices(mask_BT):
        goal_MV = goal_head(goal_BTd[rows_M, columns_M])
        other_MV = head(hidden_BTd[rows_M, columns_M])
        goal_MV, other_MV = _on_common_ids(goal_MV, other_MV)
        kl_BT[rows_M, columns_M] = (goal_MV.exp() * (goal_MV - other_MV)).sum(-1)
    return kl_BT.sum(1) / mask_BT.sum(1)


def kl_and_slope(
    goal_head: Head, goal_BTd: torch.Tensor, head: Head, hidden_BTd: torch.Tensor, mask_BT: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean over a text's positions of KL(goal || model), nats (B,), and its gradient by the hidden states (B, T, d).

    0 for a text without positions. Logits and their gradients stand in memory for a bounded number of positions.
    """
    share_B = 1 / mask_BT.sum(1).clamp(min=1)
    kl_BT = torch.zeros(mask_BT.shape, dtype=_precise(hidden_BTd.dtype), device=hidden_BTd.device)
    slope_BTd = torch.zeros_like(hidden_BTd)
    for rows_M, columns_M in _slices(mask_BT):
        with torch.no_grad():
            goal_MV = goal_head(goal_BTd[rows_M, columns_M])
        with torch.enable_grad():
            hidden_Md = hidden_BTd[rows_M, columns_M].detach().requires_grad_()
            goal_MV, other_MV = _on_common_ids(goal_MV, head(hidden_Md))
            kl_M = (goal_MV.exp() * (goal_MV - other_MV)).sum(-1) * share_B[rows_M]
        (slope_BTd[rows_M, columns_M],) = torch.autograd.grad(kl_M.sum(), hidden_Md)
        kl_BT[rows_M, columns_M] = kl_M.detach()
    return kl_BT.sum(1), slope_BTd


def _precise(dtype: torch.dtype) -> torch.dtype:
    """float32, or float64 for a model that is in float64."""
    return torch.promote_types(dtype, torch.float32)


def _on_common_ids(*logits: torch.Tensor) -> list[torch.Tensor]:
    """Log-probabilities over the ids that all heads have, in float32 at least."""
    common = min(logits_MV.shape[1] for logits_MV in logits)
    return [x[:, :common].to(_precise(x.dtype)).log_softmax(-1) for x in logits]


def _slices(mask_BT: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Places of True, a bounded number at a time."""
    rows_M, columns_M = mask_BT.nonzero(as_tuple=True)
    return zip(rows_M.split(POSITIONS), columns_M.split(POSITIONS), strict=True)
