"""Logit lens: which tokens a decoder row promotes and suppresses, read by its model's own final norm and head.

The norm divides a row by its length, so the numbers rank tokens within a latent and say nothing of its strength.

Shapes: L latents, S of a dictionary, M members, d width of the residual stream, V tokens of the vocabulary.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch
from transformers import PreTrainedModel

from rlgen.models.checkpoints import load_model
from rlgen.models.head import output_head

TOKENS = 8  # on either side
LATENTS_PER_PASS = 256
DIFFERENCE = "difference"  # `of` of the last member's row minus the first's, read by the last member's model

Reads = Callable[[torch.Tensor], torch.Tensor]  # rows (L, d), raw units -> logits (L, V)


def lens_of(model: PreTrainedModel, device: torch.device) -> Reads:
    """Final norm and head of a model in float32; its blocks are let go."""
    model.model.layers = torch.nn.ModuleList()
    model.float().to(device)
    norm, head = model.model.norm, output_head(model)
    return lambda rows_Ld: head(norm(rows_Ld))


@torch.no_grad()
def lens_rows(
    reads: Reads, of: str, rows_Ld: torch.Tensor, latents: Sequence[int], text_of: Callable[[int], str]
) -> pd.DataFrame:
    """Up to `TOKENS` rows per latent and side: latent, of, side, rank, token, logit.

    logit: above the mean over the vocabulary, since a common summand changes no prediction. side: `promoted` by
    falling, `suppressed` by rising logit; ties go to the smaller token id.
    """
    rows = []
    for start in range(0, len(latents), LATENTS_PER_PASS):
        logit_LV = reads(rows_Ld[start : start + LATENTS_PER_PASS]).float()
        logit_LV = logit_LV - logit_LV.mean(-1, keepdim=True)
        for side, sign in (("promoted", 1), ("suppressed", -1)):
            value_LV, id_LV = (sign * logit_LV).sort(dim=-1, descending=True, stable=True)
            found = zip(latents[start:], value_LV[:, :TOKENS].tolist(), id_LV[:, :TOKENS].tolist(), strict=False)
            rows += [
                (latent, of, side, rank, text_of(token), sign * value)
                for latent, values, ids in found
                for rank, (value, token) in enumerate(zip(values, ids, strict=True), start=1)
            ]
    return pd.DataFrame(rows, columns=["latent", "of", "side", "rank", "token", "logit"])


def lens(
    folders: Sequence[Path],
    members: Sequence[str],
    decoder_raw_SMd: torch.Tensor,
    latents: Sequence[int],
    text_of: Callable[[int], str],
) -> pd.DataFrame:
    """The lens of these latents' decoder rows by every member's model, one in memory at a time, and of the difference.

    `folders`: the members' checkpoints, in order.
    """
    tables, device = [], decoder_raw_SMd.device
    rows_LMd = decoder_raw_SMd[torch.tensor(latents, dtype=torch.long, device=device)]
    for m, (folder, member) in enumerate(zip(folders, members, strict=True)):
        reads = lens_of(load_model(folder), device)
        tables.append(lens_rows(reads, member, rows_LMd[:, m], latents, text_of))
    difference_Ld = rows_LMd[:, -1] - rows_LMd[:, 0]
    tables.append(lens_rows(reads, DIFFERENCE, difference_Ld, latents, text_of))
    return pd.concat(tables, ignore_index=True).sort_values(["latent", "of", "side", "rank"], ignore_index=True)
