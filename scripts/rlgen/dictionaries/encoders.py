"""Encoder maps that bend: what an MLP or a kernel machine adds to the linear encoder before its activation.

    linear   pre = sum_m x_m W_enc[m] + b_enc
    mlp      pre + relu(sum_m x_m V[m] + c) U
    kernel   pre + sqrt(2 / H) cos(sum_m x_m V[m] + c) U

Random Fourier features (Rahimi and Recht 2007): with columns of V from N(0, 1 / w^2) and c uniform on a circle, the
scalar product of two rows' features is exp(-||x - y||^2 / (2 w^2)) on average. Decoders stay linear, so that a latent
still is a direction. (docs/method.md, section 4.)

Shapes: B rows, S latents, H hidden units, M members, d width, X values read at once: M*d of all members, d of one.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch

from rlgen.seeds import stream_seed

Bent = Literal["mlp", "kernel"]


def curve(kind: Bent, hidden_BH: torch.Tensor) -> torch.Tensor:
    """What the hidden units make of their sums."""
    if kind == "mlp":
        return hidden_BH.relu()
    return math.sqrt(2 / hidden_BH.shape[-1]) * hidden_BH.cos()


@dataclass(frozen=True)
class Bend:
    """The bent part of a trained encoder, for rows in whatever units its V is for."""

    kind: Bent
    V_XH: torch.Tensor
    c_H: torch.Tensor
    U_HS: torch.Tensor

    def pre(self, x_BX: torch.Tensor) -> torch.Tensor:
        """What it adds to each latent before the activation (B, S)."""
        return curve(self.kind, x_BX @ self.V_XH + self.c_H) @ self.U_HS

    def raw(self, mean_X: torch.Tensor, scale_X: torch.Tensor) -> "Bend":
        """The same for rows x scale + mean instead of rows x."""
        V_XH = self.V_XH / scale_X[..., None]
        return replace(self, V_XH=V_XH, c_H=self.c_H - mean_X @ V_XH)

    def of(self, latents: torch.Tensor) -> "Bend":
        """The same for some latents."""
        return replace(self, U_HS=self.U_HS[:, latents])

    def to(self, *where: torch.device | str | torch.dtype) -> "Bend":
        """The same on a device or in a type."""
        return Bend(self.kind, *(x.to(*where) for x in (self.V_XH, self.c_H, self.U_HS)))


class OneSided(NamedTuple):
    """What reads one member alone: pre = x W + b, and what bends it."""

    W_dS: torch.Tensor
    b_S: torch.Tensor
    bend: Bend | None = None

    def pre(self, x_Bd: torch.Tensor) -> torch.Tensor:
        """Every latent before its activation (B, S)."""
        pre_BS = x_Bd @ self.W_dS + self.b_S
        return pre_BS if self.bend is None else pre_BS + self.bend.pre(x_Bd)

    def raw(self, mean_d: torch.Tensor, scale: torch.Tensor) -> "OneSided":
        """The same for rows x scale + mean instead of rows x."""
        W_dS = self.W_dS / scale
        return OneSided(W_dS, self.b_S - mean_d @ W_dS, self.bend and self.bend.raw(mean_d, scale))

    def of(self, latents: torch.Tensor) -> "OneSided":
        """The same for some latents."""
        return OneSided(self.W_dS[:, latents], self.b_S[latents], self.bend and self.bend.of(latents))

    def to(self, *where: torch.device | str | torch.dtype) -> "OneSided":
        """The same on a device or in a type."""
        return OneSided(*(x if x is None else x.to(*where) for x in self))


class TrainedBend(torch.nn.Module):
    """The bent part while it is trained, stored with a unit's or a latent's values side by side.

    U starts at zero, so that a dictionary starts with the linear encoder; a kernel's V and c are drawn and stay.
    """

    def __init__(self, kind: Bent, H: int, S: int, M: int, d: int, width: float, seed: int) -> None:
        """`width` is that of the kernel, as a multiple of sqrt(M*d), the length of a row of all members."""
        super().__init__()
        generator = torch.Generator().manual_seed(stream_seed(seed, "encoder_init"))
        V_HX = torch.randn(H, M * d, generator=generator) / math.sqrt(M * d)
        self.kind, drawn = kind, kind == "kernel"
        V_HX = V_HX / width if drawn else V_HX * math.sqrt(2)
        c_H = 2 * math.pi * torch.rand(H, generator=generator) if drawn else torch.zeros(H)
        for name, tensor in (("V_HX", V_HX), ("c_H", c_H)):
            if drawn:
                self.register_buffer(name, tensor, persistent=False)
            else:
                setattr(self, name, torch.nn.Parameter(tensor))
        self.U_SH = torch.nn.Parameter(torch.zeros(S, H))

    def forward(self, x_BX: torch.Tensor) -> torch.Tensor:
        """What it adds to each latent (B, S), products in the rows' type."""
        hidden_BH = (x_BX @ self.V_HX.T.to(x_BX.dtype)).to(self.c_H.dtype) + self.c_H
        return (curve(self.kind, hidden_BH).to(x_BX.dtype) @ self.U_SH.T.to(x_BX.dtype)).to(self.c_H.dtype)

    def trained(self) -> Bend:
        """As a trained crosscoder holds it, on the CPU."""
        parts = (self.V_HX.T, self.c_H, self.U_SH.T)
        return Bend(self.kind, *(x.detach().cpu().contiguous() for x in parts))
