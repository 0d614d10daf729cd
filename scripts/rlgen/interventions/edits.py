"""Edits of the residual stream inside generation (docs/method.md, section 8).

All edits of one kind run side by side: condition c has its own feature set and dose, and every row of a batch names its
condition. The dose 0 always means "nothing is changed". With f_k the running model's one-sided readout, d^ref and
d^tuned the decoder rows in raw units and F the condition's set:

    exchange   h + dose * sum_F f_k (d_k^tuned - d_k^ref)    towards the tuned model; minus, towards the reference;
                                                             a running member between the two has its d_k for d_k^ref
    disable    h - dose * sum_F f_k d_k^tuned                dose 1 is the paper's zero-out
    scale      h + dose * sum_F f_k d_k^ref                  the paper's amplification by alpha = 1 + dose
    add        h + dose * sum_F fbar_k d_k^ref               fbar_k: mean activation in the tuned model
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch

from rlgen.models.hooks import Edit
from rlgen.names import Readout

if TYPE_CHECKING:
    from rlgen.dictionaries.crosscoder import Crosscoder
    from rlgen.dictionaries.encoders import OneSided


EditKind = Literal["exchange", "disable", "scale", "add"]
Delta = Callable[[torch.Tensor], torch.Tensor]  # h_BTd -> what is added to it


def directions(crosscoder: "Crosscoder", kind: EditKind, towards_tuned: bool, member: int = 0) -> torch.Tensor:
    """What one unit of each latent's activation adds at dose 1, raw units (S, d). Reference first, tuned last.

    `member` is the running model's: towards the tuned model an exchange leaves from its decoder.
    """
    reference_Sd, tuned_Sd = crosscoder.decoder_raw_SMd[:, 0], crosscoder.decoder_raw_SMd[:, -1]
    if kind == "exchange":
        return tuned_Sd - crosscoder.decoder_raw_SMd[:, member] if towards_tuned else reference_Sd - tuned_Sd
    return -tuned_Sd if kind == "disable" else reference_Sd


@dataclass(frozen=True)
class FeatureEdits:
    """C conditions that act through features: masks of latents, doses, and the rotation of what is added.

    `order_Cd` and `sign_Cd` describe a signed permutation of the d coordinates, a random rotation that costs nothing;
    None leaves the directions as they are.
    """

    crosscoder: "Crosscoder"
    member: int  # whose statistics normalise the running model's stream
    readout: Readout
    direction_Sd: torch.Tensor
    mask_CS: torch.Tensor
    dose_C: torch.Tensor
    order_Cd: torch.Tensor | None = None
    sign_Cd: torch.Tensor | None = None

    def on(self, device: torch.device | str) -> "LatentEdits":
        """The same edits on a device, where only the latents that any condition has are held."""
        used_F = self.mask_CS.any(0).nonzero().squeeze(1)
        readout, floor_S = self._readout
        acting = (self.direction_Sd[used_F], self.mask_CS[:, used_F], self.dose_C, self.order_Cd, self.sign_Cd)
        moved = (None if x is None else x.to(device) for x in (floor_S[used_F], *acting))
        return LatentEdits(readout.of(used_F).to(device), *moved)

    @cached_property
    def _readout(self) -> tuple["OneSided", torch.Tensor]:
        return self.crosscoder.readout_raw(self.member, self.readout)


class PerRowEdits(ABC):
    """Edits of C conditions on one device: every row of a batch names its own."""

    @abstractmethod
    def delta(self, condition_B: torch.Tensor) -> Delta:
        """What is added to the stream of a batch whose row b runs under condition_B[b]."""

    def take(self, condition_B: torch.Tensor) -> Edit:
        """The edit of such a batch."""
        delta = self.delta(condition_B)
        return lambda h_BTd: h_BTd + delta(h_BTd).to(h_BTd.dtype)


@dataclass(frozen=True)
class LatentEdits(PerRowEdits):
    """FeatureEdits of F latents: their readout for raw rows, then what they add. float32 whatever the model's type."""

    readout: "OneSided"
    floor_F: torch.Tensor
    direction_Fd: torch.Tensor
    mask_CF: torch.Tensor
    dose_C: torch.Tensor
    order_Cd: torch.Tensor | None
    sign_Cd: torch.Tensor | None

    def delta(self, condition_B: torch.Tensor) -> Delta:
        """Only latents of the batch's conditions are read."""
        used_U = self.mask_CF[condition_B.unique()].any(0).nonzero().squeeze(1)
        (W_dU, bias_U, bend), floor_U = self.readout.of(used_U), self.floor_F[used_U]
        weight_BU = self.mask_CF[condition_B][:, used_U] * self.dose_C[condition_B, None]
        direction_Ud = self.direction_Fd[used_U]
        order_Bd = None if self.order_Cd is None else self.order_Cd[condition_B]
        sign_Bd = None if self.sign_Cd is None else self.sign_Cd[condition_B]

        def delta(h_BTd: torch.Tensor) -> torch.Tensor:
            pre_BTU = torch.nn.functional.linear(h_BTd.float(), W_dU.T, bias_U)
            if bend is not None:
                pre_BTU = pre_BTU + bend.pre(h_BTd.float())
            change_BTd = (pre_BTU * (pre_BTU > floor_U) * weight_BU[:, None]) @ direction_Ud
            if order_Bd is None:
                return change_BTd
            return change_BTd.gather(-1, order_Bd[:, None].expand_as(change_BTd)) * sign_Bd[:, None]

        return delta


@dataclass(frozen=True)
class VectorEdits(PerRowEdits):
    """C conditions that add a constant vector each, raw units (C, d)."""

    vector_Cd: torch.Tensor

    def on(self, device: torch.device | str) -> "VectorEdits":
        """The same edits on a device."""
        return VectorEdits(self.vector_Cd.to(device))

    def delta(self, condition_B: torch.Tensor) -> Delta:
        """The condition's vector, at every token."""
        vector_B1d = self.vector_Cd[condition_B, None]
        return lambda h_BTd: vector_B1d.expand_as(h_BTd)


Edits = FeatureEdits | VectorEdits


def mean_norms(edits: Edits, conditions: int, h_Nd: torch.Tensor) -> list[float]:
    """Mean length of what each condition adds to rows h_Nd, raw units."""
    there = edits.on(h_Nd.device)
    deltas = (there.delta(torch.full((1,), c, device=h_Nd.device)) for c in range(conditions))
    return [float(delta(h_Nd[None]).norm(dim=-1).mean()) for delta in deltas]
