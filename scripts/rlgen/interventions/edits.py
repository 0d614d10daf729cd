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

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch

from rlgen.dictionaries.objectives import latent_norms
from rlgen.names import Readout

if TYPE_CHECKING:
    from rlgen.dictionaries.crosscoder import Crosscoder


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

    @cached_property
    def readout_raw(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """W_dS, bias_S and floor_S with f(h) = pre where pre = h W + bias > floor, else 0, for raw rows h.

        The one-sided readout of `Crosscoder.encode_one` with normalisation folded into the weights and the threshold
        divided by the latents' norms once, in float64, instead of for every token.
        """
        c, m = self.crosscoder, self.member
        W_dS, bias_S = c.one_sided(m, self.readout, torch.float64)
        W_dS = W_dS / c.scale_M[m].double()
        bias_S = bias_S - c.mean_Md[m].double() @ W_dS
        norms_S = latent_norms(c.W_dec_SMd.double())
        # a latent without a decoder exceeds no threshold, not even 0
        floor_S = 0 * norms_S if c.threshold is None else torch.where(norms_S > 0, c.threshold / norms_S, torch.inf)
        return W_dS.float(), bias_S.float(), floor_S.clamp(min=0).float()

    def take(self, condition_B: torch.Tensor) -> Delta:
        """The change of a batch whose row b runs under condition_B[b]. Only latents of its conditions are read.

        The change is made on condition_B's device, in float32 whatever the model's type.
        """
        device, condition_B = condition_B.device, condition_B.to(self.mask_CS.device)
        used_F = self.mask_CS[condition_B.unique()].any(0).nonzero().squeeze(1)
        W_dF, bias_F, floor_F = (x[..., used_F].to(device) for x in self.readout_raw)
        weight_BF = (self.mask_CS[condition_B][:, used_F] * self.dose_C[condition_B, None]).to(device)
        direction_Fd = self.direction_Sd[used_F].to(device)
        order_Bd = None if self.order_Cd is None else self.order_Cd[condition_B].to(device)
        sign_Bd = None if self.sign_Cd is None else self.sign_Cd[condition_B].to(device)

        def delta(h_BTd: torch.Tensor) -> torch.Tensor:
            pre_BTF = torch.nn.functional.linear(h_BTd.float(), W_dF.T, bias_F)
            change_BTd = (pre_BTF * (pre_BTF > floor_F) * weight_BF[:, None]) @ direction_Fd
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
        vector_B1d = self.vector_Cd[condition_B.to(self.vector_Cd.device), None].to(condition_B.device)
        return lambda h_BTd: vector_B1d.expand_as(h_BTd)


Edits = FeatureEdits | VectorEdits


def apply(delta: Delta) -> Callable[[torch.Tensor], torch.Tensor]:
    """The edit of the stream that a change makes."""
    return lambda h_BTd: h_BTd + delta(h_BTd).to(h_BTd.dtype)


def mean_norms(edits: Edits, conditions: int, h_Nd: torch.Tensor) -> list[float]:
    """Mean length of what each condition adds to rows h_Nd, raw units."""
    deltas = (edits.take(torch.full((1,), c)) for c in range(conditions))
    return [float(delta(h_Nd[None]).norm(dim=-1).mean()) for delta in deltas]
