"""How good a dictionary is, on held-out rows: variance explained, sparsity, dead latents, language-model loss.

Shapes: B rows, S latents, M members, d width of the residual stream, N sequences of T tokens, R rows of all sequences,
W variants of a model.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
import torch
from pydantic import Field

from rlgen.activations.stream import SEQUENCES_PER_BATCH
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.dictionaries.held_out import HeldOut
from rlgen.models.passes import Padding, passes, tokens_per_pass
from rlgen.strict import Strict

LOGITS_PER_BATCH = 2**28  # of all variants together: a published vocabulary holds 150,000 words
Replace = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class MeasureDictionary(Strict):
    """What measuring one dictionary obeys: the slice that `scripts/dictionaries/measure_dictionary.py` receives."""

    members: list[str] = Field(min_length=2, description="model states with explicit checkpoints, as 'rl@5'")
    permute_shift: bool
    held_out_shards: int = Field(ge=1)
    alive_firings: int = Field(ge=1)
    contexts: int = Field(ge=1)
    context_tokens: int = Field(ge=1)
    threads: int = Field(ge=1)


"""(hidden_BTd, indices of its sequences in rising order) -> the activations the model goes on with."""


@dataclass
class FitSums:
    """Sums over rows that give the fraction of variance explained per member in one pass, float64."""

    rows: int
    sum_Md: torch.Tensor
    square_M: torch.Tensor
    error_M: torch.Tensor

    @classmethod
    def zero(cls, M: int, d: int, device: torch.device | str = "cpu") -> "FitSums":
        """No rows yet."""
        zeros_Md = torch.zeros(M, d, dtype=torch.float64, device=device)
        return cls(0, zeros_Md, zeros_Md[:, 0].clone(), zeros_Md[:, 0].clone())

    def add(self, x_BMd: torch.Tensor, reconstruction_BMd: torch.Tensor) -> None:
        """Add a batch. Centre x roughly beforehand: the variance is a difference of two sums."""
        x_BMd = x_BMd.double()
        self.rows += len(x_BMd)
        self.sum_Md += x_BMd.sum(0)
        self.square_M += x_BMd.square().sum((0, 2))
        self.error_M += (x_BMd - reconstruction_BMd).square().sum((0, 2))

    def variance_explained(self) -> torch.Tensor:
        """Per member; NaN where the rows do not vary."""
        variance_M = self.square_M - self.sum_Md.square().sum(1) / self.rows
        return (1 - self.error_M / variance_M).where(variance_M > 0, torch.nan)


class Fit(NamedTuple):
    """Quality of the code itself. `_swap`: each member read and rebuilt from its own code alone."""

    rows: int
    fve_M: torch.Tensor
    l0: float  # latents active on a row, joint code
    dead_share: float  # share of latents that fire on no row
    fve_swap_M: torch.Tensor
    l0_swap_M: torch.Tensor


@torch.no_grad()
def measure_fit(crosscoder: Crosscoder, batches: Iterable[torch.Tensor]) -> Fit:
    """Fit of the crosscoder on batches of raw activations (B, M, d). Raises ValueError when there is no row."""
    M, device = len(crosscoder.members), crosscoder.W_dec_SMd.device
    joint, swap = (FitSums.zero(M, crosscoder.d, device) for _ in range(2))
    fired_S = torch.zeros(crosscoder.n_latents, dtype=torch.bool, device=device)
    active, active_M = 0, torch.zeros(M, dtype=torch.float64, device=device)
    for h_BMd in batches:
        x_BMd, z_BS = crosscoder.normalise(h_BMd), crosscoder.encode(h_BMd)
        joint.add(x_BMd, crosscoder.normalise(crosscoder.decode(z_BS)))
        fired_S |= (z_BS > 0).any(0)
        active += int((z_BS > 0).sum())
        own = [crosscoder.encode_one(h_BMd[:, m], m) for m in range(M)]
        swap.add(x_BMd, torch.stack([crosscoder.normalise(crosscoder.decode(z))[:, m] for m, z in enumerate(own)], 1))
        active_M += torch.stack([(z > 0).sum() for z in own])
    if joint.rows == 0:
        raise ValueError("no held-out rows to measure the dictionary on")
    return Fit(
        rows=joint.rows,
        fve_M=joint.variance_explained().cpu(),
        l0=active / joint.rows,
        dead_share=1 - fired_S.double().mean().item(),
        fve_swap_M=swap.variance_explained().cpu(),
        l0_swap_M=(active_M / joint.rows).cpu(),
    )


class RowReplacement:
    """Puts given vectors in place of the residual stream at given rows, and leaves every other position alone.

    Rows behind the columns that a batch reads predict nothing that counts.
    """

    def __init__(self, sequence_R: torch.Tensor, position_R: torch.Tensor, values_Rd: torch.Tensor) -> None:
        """Row r is position `position_R[r]` of sequence `sequence_R[r]`; a single vector (1, d) serves all rows."""
        self.sequence_R, self.position_R = sequence_R.long(), position_R.long()
        self.values_Rd = values_Rd.expand(len(sequence_R), -1)

    def __call__(self, hidden_BTd: torch.Tensor, sequence_B: torch.Tensor) -> torch.Tensor:
        inside_R = torch.isin(self.sequence_R, sequence_B) & (self.position_R < hidden_BTd.shape[1])
        place = (torch.searchsorted(sequence_B, self.sequence_R[inside_R]), self.position_R[inside_R])
        hidden_BTd = hidden_BTd.clone()
        hidden_BTd[place] = self.values_Rd[inside_R].to(hidden_BTd)
        return hidden_BTd


@torch.inference_mode()
def lm_losses(
    model: torch.nn.Module,
    layer: int,
    token_ids_NT: torch.Tensor,
    loss_mask_NT: torch.Tensor,
    replacements: Sequence[Replace] = (),
    mixed_lengths: bool = False,
) -> list[float]:
    """Mean next-token loss (nats) at the masked positions: of the model as it is, then of it with each replacement.

    A replacement changes block `layer`'s output. The blocks up to there run once: after them all variants run side by
    side along the batch axis. `loss_mask_NT[n, t]` asks for the loss of predicting token t+1 from position t; it must
    be False at the last column. Sequences are padded on the right, so causal attention needs no mask. Sequences
    without a masked position are not run; a replacement is told which sequences a batch holds. NaN when no position
    is masked. Sequences of mixed lengths are read in passes with little padding.
    """
    if loss_mask_NT[:, -1].any():
        raise ValueError("the last position of a sequence predicts no token and can carry no loss")
    total_W, count = torch.zeros(1 + len(replacements), dtype=torch.float64), 0
    logits = len(total_W) * model.config.vocab_size  # of one token
    for sequence_B, width in _loss_batches(loss_mask_NT, logits, model.device, mixed_lengths):
        at_BT = loss_mask_NT[sequence_B, : width - 1].to(model.device)
        ids_BT = token_ids_NT[sequence_B, :width].long().to(model.device)
        with _side_by_side(model.model.layers[layer], replacements, sequence_B):
            logits_WBTV = model(input_ids=ids_BT, use_cache=False).logits.unflatten(0, (len(total_W), -1))
        for variant, logits_BTV in enumerate(logits_WBTV):
            losses_P = torch.nn.functional.cross_entropy(
                logits_BTV[:, :-1][at_BT].float(), ids_BT[:, 1:][at_BT], reduction="none"
            )
            total_W[variant] += losses_P.sum(dtype=torch.float64).cpu()
        count += int(at_BT.sum())
    return (total_W / count).tolist() if count else [float("nan")] * len(total_W)


def _loss_batches(
    loss_mask_NT: torch.Tensor, logits: int, device: torch.device, mixed_lengths: bool
) -> Iterator[tuple[torch.Tensor, int]]:
    """Sequences with a masked position, a bounded number of logits at a time, and how many columns are read of them."""
    masked_K, T = loss_mask_NT.any(1).nonzero().squeeze(1), loss_mask_NT.shape[1]
    if not mixed_lengths:
        size = max(1, min(SEQUENCES_PER_BATCH, LOGITS_PER_BATCH // (logits * T)))
        yield from ((sequence_B, T) for sequence_B in masked_K.split(size) if len(sequence_B))
        return
    column_T = torch.arange(T)
    length_K = (loss_mask_NT[masked_K] * (column_T + 2)).amax(1).tolist()  # up to the last token that is predicted
    padding = Padding("losses")
    for places in passes(length_K, min(tokens_per_pass(device), LOGITS_PER_BATCH // logits), SEQUENCES_PER_BATCH):
        padding.see([length_K[place] for place in places])
        yield masked_K[sorted(places)], length_K[places[0]]
    padding.tell()


@contextmanager
def _side_by_side(block: torch.nn.Module, replacements: Sequence[Replace], sequence_B: torch.Tensor) -> Iterator[None]:
    """Within the context the block's output is followed, along the batch axis, by all its replacements."""

    def hook(_block, _inputs, output):
        h_BTd = output[0] if isinstance(output, tuple) else output
        h_WBTd = torch.cat([h_BTd, *(replace(h_BTd, sequence_B) for replace in replacements)])
        return (h_WBTd, *output[1:]) if isinstance(output, tuple) else h_WBTd

    handle = block.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def loss_recovered(loss: float, reconstructed: float, ablated: float) -> float:
    """(ablated - reconstructed) / (ablated - loss): 1 as good as the activations, 0 as bad as their mean.

    NaN where ablation does not raise the loss: there is nothing to recover.
    """
    return (ablated - reconstructed) / (ablated - loss) if ablated > loss else float("nan")


NO_LOSS = dict.fromkeys(("loss", "loss_reconstructed", "loss_mean_ablated", "loss_recovered"), float("nan"))


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
    sum_d, parts = 0.0, []
    for h_BMd in held_out.batches():
        sum_d = sum_d + h_BMd[:, member].sum(0, dtype=torch.float64)
        # A slice alone would keep the rows of all members, and the model reads them in its own precision.
        parts.append(held_out.crosscoder.reconstruct(h_BMd)[:, member].to(model.dtype, copy=True))
    reconstructed_Rd, mean_1d = torch.cat(parts), (sum_d / len(sequence_R)).float()[None]

    replacements = [RowReplacement(sequence_R, position_R, values) for values in (reconstructed_Rd, mean_1d)]
    losses = lm_losses(
        model, held_out.shards.layer, held_out.token_ids_NT, mask_NT, replacements, held_out.mixed_lengths
    )
    plain, reconstructed, ablated = losses
    recovered = loss_recovered(plain, reconstructed, ablated)
    return dict(zip(NO_LOSS, (plain, reconstructed, ablated, recovered), strict=True))
