"""GRPO and RLOO without the columns that hold nothing but padding.

TRL pads all completions of a device to the longest of a step and computes on the padding, whose positions no loss
counts: with texts of 4,000 tokens on average and 16,000 at most, four times the work. And a mask with padding keeps
attention from its fast kernels. Here every pass sees only the columns in which one of its rows has a token: with one
row at a time there is no padding left.

Shapes: B rows of a pass, T tokens of prompt (padded on the left) and completion (padded on the right), C of the latter.
"""

import torch
from torch.nn.functional import pad
from trl import GRPOTrainer, RLOOTrainer


class Trimmed:
    """Before a trainer of TRL: log-probabilities are those it would compute, and 0 at padding, which no loss counts."""

    def _get_per_token_logps_and_entropies(
        self,
        model,
        input_ids,
        attention_mask,
        logits_to_keep,
        batch_size=None,
        compute_entropy=False,
        compute_aux_loss=False,
        **images,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Log-probabilities (B, C) and, where asked for, entropies (B, C) of the completions' tokens."""
        if any(value is not None for value in images.values()):
            raise ValueError(f"texts alone are trained on here, found {', '.join(images)}")
        parts, places = [], range(0, len(input_ids), batch_size or len(input_ids))
        for ids_BT, mask_BT in ((x[at : at + places.step] for x in (input_ids, attention_mask)) for at in places):
            first, last = filled_columns(mask_BT, logits_to_keep)
            kept = last - (ids_BT.shape[1] - logits_to_keep)
            own = (ids_BT[:, first:last], mask_BT[:, first:last], kept)
            found = super()._get_per_token_logps_and_entropies(
                model, *own, compute_entropy=compute_entropy, compute_aux_loss=compute_aux_loss
            )
            parts.append([x if x is None or x.dim() == 0 else pad(x, (0, logits_to_keep - kept)) for x in found])
        logps, entropies, losses = zip(*parts, strict=True)
        return (
            torch.cat(logps),
            torch.cat(entropies) if compute_entropy else None,
            torch.stack(losses).mean() if compute_aux_loss else None,
        )


class TrimmedGRPOTrainer(Trimmed, GRPOTrainer):
    """TRL's GRPO."""


class TrimmedRLOOTrainer(Trimmed, RLOOTrainer):
    """TRL's RLOO."""


def filled_columns(mask_BT: torch.Tensor, completion: int) -> tuple[int, int]:
    """(first, last + 1) column in which a row has a token; one column of the `completion` last ones always stays.

    >>> filled_columns(torch.tensor([[0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0]]), 3)
    (1, 5)
    """
    columns = mask_BT.any(0).nonzero().flatten().tolist()
    prompt = mask_BT.shape[1] - completion
    return (min(columns[0], prompt), max(columns[-1] + 1, prompt + 1)) if columns else (0, prompt + 1)
