"""The held-out rows of one dictionary, and the tables that judge it on them.

Shapes: R held-out rows, B rows of a batch, M members, d width of the residual stream, N sequences of T tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from rlgen.contexts import context_table
from rlgen.crosscoder import Crosscoder
from rlgen.files import ArtifactError, read_tensors
from rlgen.held_out import batches, load_crosscoder
from rlgen.quality import RowReplacement, lm_losses, loss_recovered, measure_fit
from rlgen.shards import Shards

NO_LOSS = dict.fromkeys(("loss", "loss_reconstructed", "loss_mean_ablated", "loss_recovered"), float("nan"))


@dataclass
class HeldOut:
    """A dictionary with the rows it was not trained on and the token stream they come from."""

    crosscoder: Crosscoder
    shards: Shards
    indices: range  # held-out shards
    token_ids_NT: torch.Tensor
    lengths_N: torch.Tensor
    device: torch.device

    @classmethod
    def open(
        cls, dictionary: Path, shards: Shards, held_out_shards: int, stream: Path, device: torch.device
    ) -> "HeldOut":
        """Load everything. Raises ArtifactError when dictionary, shards and stream do not belong together."""
        crosscoder = load_crosscoder(dictionary, device)
        if crosscoder.members != shards.members:
            problem = f"reads {', '.join(crosscoder.members)}, expected {', '.join(shards.members)}"
            raise ArtifactError(dictionary, problem, "give the shards of its members, in order")
        tensors, metadata = read_tensors(stream)
        if metadata.get("digest") != shards.stream:
            raise ArtifactError(stream, "not the token stream that the activations were read on")
        indices = shards.held_out(held_out_shards)
        return cls(crosscoder, shards, indices, tensors["token_ids"], tensors["lengths"], device)

    def batches(self) -> Iterator[torch.Tensor]:
        """Raw activations (B, M, d) on the device, in stream order."""
        return batches(self.shards, self.indices, self.device)

    def places(self) -> tuple[torch.Tensor, torch.Tensor]:
        """sequence_R and position_R of every held-out row."""
        rows = self.shards.read(self.indices)
        return rows.sequence_N.long(), rows.position_N.long()


@torch.no_grad()
def quality(held_out: HeldOut, load_models: Sequence[Callable[[], torch.nn.Module]]) -> pd.DataFrame:
    """One row per member: variance explained, L0, dead share and language-model loss on the held-out rows.

    loss: of the member's model as it is; loss_reconstructed, loss_mean_ablated: with the layer's output replaced at the
    held-out rows by the reconstruction from the joint code of all members, and by the member's mean. Losses are nats
    per token, mean over the tokens that those rows predict. They stay NaN for the null with a permuted shift, whose
    activations belong to no model. Models are loaded one at a time.
    """
    fit = measure_fit(held_out.crosscoder, held_out.batches())
    losses = [NO_LOSS] * len(load_models)
    if not held_out.shards.permute_shift:
        losses = [member_losses(held_out, m, load()) for m, load in enumerate(load_models)]
    return pd.DataFrame(
        [
            {
                "member": member,
                "fve": fit.fve_M[m].item(),
                "l0": fit.l0,
                "dead_share": fit.dead_share,
                "fve_swap": fit.fve_swap_M[m].item(),
                "l0_swap": fit.l0_swap_M[m].item(),
                **losses[m],
                "rows": fit.rows,
            }
            for m, member in enumerate(held_out.crosscoder.members)
        ]
    )


def member_losses(held_out: HeldOut, member: int, model: torch.nn.Module) -> dict[str, float]:
    """The language-model columns of one member's row."""
    sequence_R, position_R = held_out.places()
    counted_R = position_R < held_out.lengths_N[sequence_R] - 1  # the last token of a sequence predicts nothing
    mask_NT = torch.zeros(held_out.token_ids_NT.shape, dtype=torch.bool)
    mask_NT[sequence_R[counted_R], position_R[counted_R]] = True
    pairs = [(h_BMd[:, member], held_out.crosscoder.reconstruct(h_BMd)[:, member]) for h_BMd in held_out.batches()]
    h_Rd, reconstructed_Rd = (torch.cat(column) for column in zip(*pairs, strict=True))
    mean_1d = h_Rd.mean(0, keepdim=True, dtype=torch.float64).float()

    replacements = [RowReplacement(sequence_R, position_R, values) for values in (reconstructed_Rd, mean_1d)]
    losses = lm_losses(model, held_out.shards.layer, held_out.token_ids_NT, mask_NT, replacements)
    plain, reconstructed, ablated = losses
    recovered = loss_recovered(plain, reconstructed, ablated)
    return dict(zip(NO_LOSS, (plain, reconstructed, ablated, recovered), strict=True))


@torch.no_grad()
def contexts(
    held_out: HeldOut, words: Callable[[list[int]], list[str]], per_latent: int, context_tokens: int
) -> pd.DataFrame:
    """Maximally activating contexts of every latent by every member's own code ("swap" readout)."""
    sequence_R, position_R = held_out.places()
    tables = []
    for m, member in enumerate(held_out.crosscoder.members):
        codes = (held_out.crosscoder.encode_one(h_BMd[:, m], m) for h_BMd in held_out.batches())
        tables.append(
            context_table(
                member, codes, sequence_R, position_R, held_out.token_ids_NT, words, per_latent, context_tokens
            )
        )
    return pd.concat(tables, ignore_index=True)
