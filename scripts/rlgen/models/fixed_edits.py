"""An edit on its own: what one set of latents, or one vector, adds to the stream at one dose, without a dictionary.

    c(h) = sum_k f_k(h) v_k     f_k(h) = pre_k where pre_k = h W_k + bias_k > floor_k, else 0; v_k holds the dose
    c(h) = vector               where the edit is a vector

A model can be trained towards what it does under such an edit, or held to what the edit reads in it. (docs/method.md,
section 14.) Shapes: B rows, T positions, d width of the residual stream, F latents of the set.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from rlgen.files import ArtifactError, canonical_json, read_tensors, write_tensors

LATENTS, VECTOR = ("W_dF", "bias_F", "floor_F", "direction_Fd"), "vector_d"
FACTS = ("layer", "everywhere", "dose", "set")


@dataclass(frozen=True)
class FixedEdit:
    """One edit of the output of block `layer`, raw units, float32 whatever the model's type."""

    tensors: dict[str, torch.Tensor]  # LATENTS, or VECTOR alone
    layer: int
    everywhere: bool  # from a prompt's second token on, else from its last one
    dose: float
    set: str  # the name of the set in the table of interventions

    @property
    def reads(self) -> bool:
        """Whether what it adds depends on the stream."""
        return VECTOR not in self.tensors

    def change(self, h_BTd: torch.Tensor) -> torch.Tensor:
        """What it adds to a stream (B, T, d), float32; gradients go through it."""
        if not self.reads:
            return self.tensors[VECTOR].expand(h_BTd.shape)
        W_dF, bias_F, floor_F, direction_Fd = (self.tensors[name] for name in LATENTS)
        with torch.autocast(h_BTd.device.type, enabled=False):  # a trainer's
            pre_BTF = torch.nn.functional.linear(h_BTd.float(), W_dF.T, bias_F)
            return (pre_BTF * (pre_BTF > floor_F)) @ direction_Fd

    def __call__(self, h_BTd: torch.Tensor) -> torch.Tensor:
        """The edited stream."""
        return h_BTd + self.change(h_BTd).to(h_BTd.dtype)

    def to(self, device: torch.device | str) -> "FixedEdit":
        """The same edit on a device."""
        return replace(self, tensors={name: tensor.to(device) for name, tensor in self.tensors.items()})

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; its metadata `edit` holds layer, positions, dose and set."""
        facts = {name: getattr(self, name) for name in FACTS}
        write_tensors(path, self.tensors, {"edit": canonical_json(facts)})

    @classmethod
    def load(cls, path: str | Path) -> "FixedEdit":
        """Read what `save` wrote. Raises ArtifactError for a file that holds no edit."""
        tensors, header = read_tensors(path)
        try:
            facts = {name: json.loads(header["edit"])[name] for name in FACTS}
        except (KeyError, ValueError) as error:
            raise ArtifactError(path, f"not an edit ({error!r})") from error
        if set(tensors) not in ({*LATENTS}, {VECTOR}):
            expected = f"expected {', '.join(LATENTS)}, or {VECTOR}"
            raise ArtifactError(path, f"holds {', '.join(sorted(tensors))}, {expected}")
        return cls(tensors, **facts)
