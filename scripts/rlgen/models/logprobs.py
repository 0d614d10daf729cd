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
    """Mean over a text's positions of KL(goal || model), nats, float32 (B,).

    Where one head has more rows than the other, as after tokens were added or rows padded to a round number, both
    distributions are those over the ids that both have.
    """
    kl_BT = torch.zeros(mask_BT.shape, device=hidden_BTd.device)
    for rows_M, columns_M in _slices(mask_BT):
        goal_MV = goal_head(goal_BTd[rows_M, columns_M])
        other_MV = head(hidden_BTd[rows_M, columns_M])
        common = min(goal_MV.shape[1], other_MV.shape[1])
        goal_MV, other_MV = (logits[:, :common].float().log_softmax(-1) for logits in (goal_MV, other_MV))
        kl_BT[rows_M, columns_M] = (goal_MV.exp() * (goal_MV - other_MV)).sum(-1)
    return kl_BT.sum(1) / mask_BT.sum(1)


def _slices(mask_BT: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Places of True, a bounded number at a time."""
    rows_M, columns_M = mask_BT.nonzero(as_tuple=True)
    return zip(rows_M.split(POSITIONS), columns_M.split(POSITIONS), strict=True)
