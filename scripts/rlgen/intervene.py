"""Edits of the residual stream inside generation (docs/method.md, section 8).

All edits of one kind run side by side: condition c has its own feature set and dose, and every row of a batch names its
condition. The dose 0 always means "nothing is changed". With f_k the running model's one-sided readout, d^ref and
d^tuned the decoder rows in raw units and F the condition's set:

    exchange   h + dose * sum_F f_k (d_k^tuned - d_k^ref)    towards the tuned model; minus, towards the reference
    disable    h - dose * sum_F f_k d_k^tuned                dose 1 is the paper's zero-out
    scale      h + dose * sum_F f_k d_k^ref                  the paper's amplification by alpha = 1 + dose
    add        h + dose * sum_F fbar_k d_k^ref               fbar_k: mean activation in the tuned model
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from rlgen.crosscoder import Crosscoder

EditKind = Literal["exchange", "disable", "scale", "add"]
Delta = Callable[[torch.Tensor], torch.Tensor]  # h_BTd -> what is added to it


def directions(crosscoder: Crosscoder, kind: EditKind, towards_tuned: bool) -> torch.Tensor:
    """What one unit of each latent's activation adds at dose 1, raw units (S, d). Reference first, tuned last."""
    reference_Sd, tuned_Sd = crosscoder.decoder_raw_SMd[:, 0], crosscoder.decoder_raw_SMd[:, -1]
    if kind == "exchange":
        return tuned_Sd - reference_Sd if towards_tuned else reference_Sd - tuned_Sd
    return -tuned_Sd if kind == "disable" else reference_Sd


@dataclass(frozen=True)
class FeatureEdits:
    """C conditions that act through features: masks of latents, doses, and the rotation of what is added.

    `order_Cd` and `sign_Cd` describe a signed permutation of the d coordinates, a random rotation that costs nothing;
    None leaves the directions as they are.
    """

    crosscoder: Crosscoder
    member: int  # whose statistics normalise the running model's stream
    readout: Literal["swap", "own"]
    direction_Sd: torch.Tensor
    mask_CS: torch.Tensor
    dose_C: torch.Tensor
    order_Cd: torch.Tensor | None = None
    sign_Cd: torch.Tensor | None = None

    def take(self, condition_B: torch.Tensor) -> Delta:
        """The change of a batch whose row b runs under condition_B[b]."""
        weight_BS = self.mask_CS[condition_B].float() * self.dose_C[condition_B, None]
        order_Bd = None if self.order_Cd is None else self.order_Cd[condition_B]
        sign_Bd = None if self.sign_Cd is None else self.sign_Cd[condition_B]

        def delta(h_BTd: torch.Tensor) -> torch.Tensor:
            z_NS = self.crosscoder.encode_one(h_BTd.flatten(0, 1), self.member, self.readout)
            z_BTS = z_NS.unflatten(0, h_BTd.shape[:2]) * weight_BS[:, None]
            change_BTd = z_BTS @ self.direction_Sd
            if order_Bd is None:
                return change_BTd
            return change_BTd.gather(-1, order_Bd[:, None].expand_as(change_BTd)) * sign_Bd[:, None]

        return delta


@dataclass(frozen=True)
class VectorEdits:
    """C conditions that add a constant vector each, raw units (C, d)."""

    vector_Cd: torch.Tensor

    def take(self, condition_B: torch.Tensor) -> Delta:
        """The change of a batch whose row b runs under condition_B[b]."""
        vector_B1d = self.vector_Cd[condition_B, None]
        return lambda h_BTd: vector_B1d.expand_as(h_BTd)


Edits = FeatureEdits | VectorEdits


def apply(delta: Delta) -> Callable[[torch.Tensor], torch.Tensor]:
    """The edit of the stream that a change makes."""
    return lambda h_BTd: h_BTd + delta(h_BTd)


def mean_norm(edits: FeatureEdits, condition: int, h_Nd: torch.Tensor) -> float:
    """Mean length of what a condition adds to rows h_Nd, raw units."""
    delta = edits.take(torch.full((1,), condition))
    return float(delta(h_Nd[None]).norm(dim=-1).mean())
