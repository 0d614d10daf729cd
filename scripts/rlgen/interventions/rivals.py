"""What a mediating set competes with, and what each rival adds to the stream at dose 1 (docs/method.md, section 8).

Every edit is linear in its dose, so a rival's dose of equal length is a quotient of two mean lengths.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from rlgen.interventions.controls import random_directions, role_shift, rotations
from rlgen.interventions.edits import EditKind, Edits, FeatureEdits, VectorEdits, directions, mean_norms
from rlgen.names import Readout

if TYPE_CHECKING:  # no dependency: steering runs without a dictionary
    from rlgen.activations.completions import Completions
    from rlgen.dictionaries.crosscoder import Crosscoder

FORMS = ("set_dose", "equal_norm", "own_dose")
FAMILIES = ("random", "rotated", "direction")  # rivals that come in dozens: members share one dose of their own
Part = Literal["whole", "along", "rest"]


@dataclass(frozen=True)
class Rival:
    """A set of latents edited as the chosen one is, or a constant vector; exactly one of the two."""

    name: str
    latents: np.ndarray | None = None
    vector_d: torch.Tensor | None = None
    part: Part = "whole"  # of the set's change: along the mean shift, or what is left of it
    order_d: torch.Tensor | None = None  # with sign_d: a signed permutation of the coordinates of the change
    sign_d: torch.Tensor | None = None

    @property
    def family(self) -> str:
        """The kind of set: `random` for `random-07`."""
        kind, _, number = self.name.rpartition("-")
        return kind if number.isdecimal() else self.name

    @property
    def mechanism(self) -> str:
        """Rivals of one mechanism run side by side."""
        if self.vector_d is not None:
            return "vector"
        return "turned" if self.order_d is not None else self.part


@dataclass(frozen=True)
class Mechanics:
    """How rivals become edits of one running model: one kind of edit, read and pointed one way."""

    crosscoder: "Crosscoder"
    kind: EditKind
    member: int  # whose statistics normalise the running model's stream
    readout: Readout
    towards_tuned: bool
    shift_d: torch.Tensor | None = None  # parts of a change: mean shift on the selection tasks, raw units
    mean_S: torch.Tensor | None = None  # `add`: mean activation in the tuned model

    def edits(self, rivals: Sequence[Rival], doses: Sequence[float]) -> Edits:
        """The edits of C conditions, a rival of one mechanism and a dose each."""
        dose_C, mechanism = torch.tensor(doses, dtype=torch.float32), rivals[0].mechanism
        if mechanism == "vector":
            return VectorEdits(dose_C[:, None] * torch.stack([r.vector_d for r in rivals]))
        mask_CS = torch.zeros(len(rivals), self.crosscoder.n_latents, dtype=torch.bool)
        for row, rival in enumerate(rivals):
            mask_CS[row, torch.from_numpy(rival.latents)] = True
        direction_Sd = self.directions(rivals[0].part)
        if self.kind == "add":
            return VectorEdits(dose_C[:, None] * ((mask_CS * self.mean_S) @ direction_Sd))
        turn = (None, None)
        if mechanism == "turned":
            turn = torch.stack([r.order_d for r in rivals]), torch.stack([r.sign_d for r in rivals])
        return FeatureEdits(self.crosscoder, self.member, self.readout, direction_Sd, mask_CS, dose_C, *turn)

    def directions(self, part: Part = "whole") -> torch.Tensor:
        """What one unit of each latent's activation adds at dose 1, or its part along the mean shift, or the rest."""
        direction_Sd = directions(self.crosscoder, self.kind, self.towards_tuned, self.member)
        if part == "whole":
            return direction_Sd
        unit_d = self.shift_d / self.shift_d.norm().clamp(min=1e-12)
        along_Sd = (direction_Sd @ unit_d)[:, None] * unit_d
        return along_Sd if part == "along" else direction_Sd - along_Sd

    def lengths(self, rivals: Sequence[Rival], stream_Nd: torch.Tensor) -> list[float]:
        """Mean length of what each rival adds at dose 1 to a model's stream, raw units."""
        return mean_norms(self.edits(rivals, [1.0] * len(rivals)), len(rivals), stream_Nd)


@dataclass(frozen=True)
class Candidates:
    """What rivals of a set are made of. All arrays of latents are sorted."""

    latents: np.ndarray  # the set
    able: np.ndarray  # alive latents that this kind of edit can act through
    size_S: np.ndarray  # mean length of what each latent adds on task text, raw units
    nrn_S: np.ndarray
    noncritical: np.ndarray  # the set chosen on samples that both models get right

    def top(self, score_S: np.ndarray) -> np.ndarray:
        """As many able latents as the set has, highest score first; ties go to the lower index."""
        ranked = self.able[np.argsort(-score_S[self.able], kind="stable")]
        return np.sort(ranked[: len(self.latents)])


def feature_rivals(candidates: Candidates, random: Sequence[np.ndarray]) -> list[Rival]:
    """Other sets of latents: random ones, size-only, non-critical, the complement, all alive, the top by NRN."""
    c = candidates
    named = {f"random-{i:02d}": latents for i, latents in enumerate(random)}
    named |= {"size": c.top(c.size_S), "noncritical": c.noncritical, "nrn": c.top(c.nrn_S)}
    named |= {"complement": np.setdiff1d(c.able, c.latents), "alive": c.able}
    return [Rival(name, latents) for name, latents in named.items() if len(latents)]


def own_parts(latents: np.ndarray) -> list[Rival]:
    """The set's own change, split: is it a direction, or more?"""
    return [Rival("along", latents, part="along"), Rival("rest", latents, part="rest")]


def turned(latents: np.ndarray, d: int, n: int, rng: np.random.Generator) -> list[Rival]:
    """The set's own change under `n` signed permutations of the coordinates: as long, elsewhere."""
    order_nd, sign_nd = rotations(n, d, rng)
    return [Rival(f"rotated-{i:02d}", latents, order_d=order_nd[i], sign_d=sign_nd[i]) for i in range(n)]


def vector_rivals(
    completions: "Completions", towards_tuned: bool, n: int, length: float, rng: np.random.Generator
) -> list[Rival]:
    """Dictionary-free rivals: the mean shifts of the selection and the in-domain tasks, and random directions.

    A shift has its own length at dose 1; random directions, which have none, have `length`.
    """
    sign = 1.0 if towards_tuned else -1.0
    shifts = {f"shift-{role}": sign * role_shift(completions, role) for role in ("selection", "in_domain")}
    random_nd = random_directions(n, len(shifts["shift-selection"]), length, rng)
    named = shifts | {f"direction-{i:02d}": vector_d for i, vector_d in enumerate(random_nd)}
    return [Rival(name, vector_d=vector_d) for name, vector_d in named.items()]
