"""What one member's stream says of another's on the same tokens: affine maps by ridge regression on held-out rows.

A dictionary over several models wants all of them; inside generation only one is there. Where the members are alike,
the one may stand for all (`swap`). Where they are not (SFT beside base and RL), the others are better predicted:

    h_o = h_m A_mo + a_mo,    A_mo = (C_mm + r I)^-1 C_mo,    a_mo = mean_o - mean_m A_mo

with C the covariances over rows and r a small share of the mean variance of h_m. A_mm = I. (docs/method.md, section 7.)

Shapes: B rows, M members, d width of the residual stream; everything in raw units and float64.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import Field

from rlgen.files import ArtifactError, canonical_json, read_tensors, write_tensors
from rlgen.strict import Strict

RIDGE = 1e-4  # r, as a share of the mean variance of a coordinate


class MapMembers(Strict):
    """The slice that `scripts/dictionaries/map_members.py` receives."""

    members: list[str] = Field(min_length=2, description="model states with explicit checkpoints, as 'rl@5'")
    permute_shift: bool
    held_out_shards: int = Field(ge=1)
    threads: int = Field(ge=1)


@dataclass(frozen=True)
class MemberMaps:
    """map_MMdd[m, o] and offset_MMd[m, o]: from member m to member o."""

    map_MMdd: torch.Tensor
    offset_MMd: torch.Tensor

    def to(self, device: torch.device) -> "MemberMaps":
        """The same on a device."""
        return replace(self, map_MMdd=self.map_MMdd.to(device), offset_MMd=self.offset_MMd.to(device))

    def save(self, path: str | Path, members: list[str]) -> None:
        """Write both, as float32, with the names of the members."""
        tensors = {"map": self.map_MMdd.float().contiguous(), "offset": self.offset_MMd.float().contiguous()}
        write_tensors(path, tensors, {"members": canonical_json(members)})

    @classmethod
    def load(cls, path: str | Path, members: list[str]) -> "MemberMaps":
        """Read what `save` wrote. Raises ArtifactError where the maps are between other members."""
        tensors, metadata = read_tensors(path)
        found = json.loads(metadata.get("members", "[]"))
        if found != members:
            raise ArtifactError(path, f"maps between {', '.join(found) or 'nobody'}, expected {', '.join(members)}")
        return cls(tensors["map"].double(), tensors["offset"].double())


@torch.no_grad()
def fit_maps(batches: Iterable[torch.Tensor]) -> MemberMaps:
    """Maps between all members from batches of raw activations (B, M, d). Raises ValueError where there is no row."""
    rows, sum_Md, products_MMdd = 0, 0.0, 0.0
    for h_BMd in batches:
        h_BMd = h_BMd.double()
        rows += len(h_BMd)
        sum_Md = sum_Md + h_BMd.sum(0)
        products_MMdd = products_MMdd + torch.einsum("bmd,boe->mode", h_BMd, h_BMd)
    if not rows:
        raise ValueError("no held-out rows to fit maps between members on")
    mean_Md = sum_Md / rows
    covariance_MMdd = products_MMdd / rows - torch.einsum("md,oe->mode", mean_Md, mean_Md)
    M, d = mean_Md.shape
    identity_dd = torch.eye(d, dtype=torch.float64, device=mean_Md.device)
    maps_MMdd = torch.empty_like(covariance_MMdd)
    for m in range(M):
        own_dd = covariance_MMdd[m, m]
        penalised_dd = own_dd + RIDGE * own_dd.trace() / d * identity_dd
        for o in range(M):
            maps_MMdd[m, o] = identity_dd if o == m else torch.linalg.solve(penalised_dd, covariance_MMdd[m, o])
    return MemberMaps(maps_MMdd, mean_Md - torch.einsum("md,mode->moe", mean_Md, maps_MMdd))
