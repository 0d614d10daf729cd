"""What a dictionary reads in an arm that it was not trained on, beside what it reads in the reference.

Shapes: T positions, S latents, d width of the residual stream.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.interventions.edits import directions
from rlgen.interventions.procedure import member_of
from rlgen.interventions.runs import read_chosen
from rlgen.names import Readout


@dataclass(frozen=True)
class Watched:
    """The procedure's dictionary and set in one seed."""

    length_S: NDArray[np.float64]  # ||d_k^tuned - d_k^ref||, raw units
    latents: NDArray[np.intp]
    able: NDArray[np.intp]  # alive latents whose decoders may differ

    @classmethod
    def read(cls, folder: Path, chosen: Path) -> "Watched":
        """From a dictionary's folder, with its features, and the set that a procedure chose in it."""
        crosscoder, found = Crosscoder.load(folder), read_chosen(chosen, folder / "features.parquet")
        length_S = directions(crosscoder, "exchange", towards_tuned=True).double().norm(dim=1).numpy()
        return cls(length_S, found.latents, np.flatnonzero(found.alive_S & crosscoder.free_S.numpy()))


@dataclass(frozen=True)
class Reader:
    """One-sided readout of an arm: as itself where the dictionary knows it, else as the reference."""

    crosscoder: Crosscoder
    readout: Readout
    member: int

    @classmethod
    def of(cls, crosscoder: Crosscoder, readout: Readout, model: str) -> "Reader":
        """The reader of one model of the study."""
        return cls(crosscoder, readout, member_of(model, crosscoder.members))

    def change(self, before_Td: torch.Tensor, after_Td: torch.Tensor) -> torch.Tensor:
        """sum over positions of f_k(h_arm) - f_k(h_reference), float64 (S,)."""
        code = self.crosscoder.encode_one
        after_TS, before_TS = code(after_Td, self.member, self.readout), code(before_Td, 0, self.readout)
        return (after_TS.double() - before_TS.double()).sum(0)
