"""Dynamics: do the tuned-specific latents of an early checkpoint stay the tuned-specific latents? (docs/method.md, 6.)

Two readings of "tuned-specific" at a checkpoint: `joint`, the NRN in one dictionary over the reference and all
checkpoints, whose latents keep their index; `shift`, the mean activation of a latent in the checkpoint minus that in
the reference, read through the dictionary over the final models.

Shapes: B rows, S latents, M members (reference first), C checkpoints, d width of the residual stream.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field

from rlgen.activations.shards import Shards
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.dictionaries.held_out import batches, load_crosscoder
from rlgen.features.statistics import nrn
from rlgen.files import ArtifactError, read_parquet
from rlgen.seeds import stream_seed
from rlgen.strict import Strict


class CourseMembers(Strict):
    """The reference and all checkpoints of one model, in one dictionary."""

    model: str
    members: list[str] = Field(min_length=2)
    permute_shift: Literal[False] = False


class MeasureDynamics(Strict):
    """The slice that `scripts/features/measure_dynamics.py` receives."""

    courses: list[CourseMembers] = Field(min_length=1)
    joint: list[str] | None = Field(
        description="members of the dictionary over the final models; None: one reading less"
    )
    states: list[str] = Field(description="states in the order in which their shard folders are given")
    held_out_shards: int = Field(ge=1)
    top: int = Field(ge=1)
    random_draws: int = Field(ge=10)
    seed: int = Field(ge=0)
    threads: int = Field(ge=1)


def top_latents(score_S: NDArray, alive_S: NDArray[np.bool_], top: int) -> NDArray[np.intp]:
    """Indices of the `top` alive latents with the highest score (all of them, if fewer), best first.

    Ties go to the lower index; a latent without a score (NaN) comes last.
    """
    order = np.argsort(-np.where(np.isnan(score_S), -np.inf, score_S), kind="stable")
    return order[alive_S[order]][:top]


def overlap_matrix(lists: Sequence[NDArray]) -> NDArray[np.float64]:
    """|A n B| / size of every pair of lists of one size, (C, C); NaN where the lists are empty (paper)."""
    sizes = {len(entry) for entry in lists}
    if len(sizes) != 1:
        raise ValueError(f"lists of sizes {sorted(sizes)}, expected one size")
    size = sizes.pop()
    if size == 0:
        return np.full((len(lists), len(lists)), np.nan)
    return np.array([[len(np.intersect1d(a, b)) / size for b in lists] for a in lists])


def chance_overlap(
    alive: int, top: int, draws: int, rng: np.random.Generator, level: float = 0.95
) -> tuple[float, float, float]:
    """Overlap of two random lists of `top` out of `alive` latents: (mean, lo, hi), quantiles over `draws`.

    The number of shared latents is hypergeometric with mean top^2 / alive. NaN when no latent is alive.
    """
    top = min(top, alive)
    if top == 0:
        return (float("nan"),) * 3
    shared = rng.hypergeometric(top, alive - top, top, size=draws) / top
    tail = (1 - level) / 2
    return float(shared.mean()), *map(float, np.quantile(shared, [tail, 1 - tail]))


@torch.no_grad()
def mean_displacement(batches: Iterable[torch.Tensor]) -> NDArray[np.float64]:
    """Mean ||h_m - h_reference|| of every member (M,), raw units, over batches (B, M, d)."""
    rows, sum_M = 0, 0.0
    for h_BMd in batches:
        rows += len(h_BMd)
        sum_M = sum_M + (h_BMd - h_BMd[:, :1]).norm(dim=-1).sum(0, dtype=torch.float64)
    return (sum_M / rows).cpu().numpy()


@torch.no_grad()
def mean_codes(crosscoder: Crosscoder, batches: Iterable[torch.Tensor], slots: Sequence[int]) -> NDArray[np.float64]:
    """Mean one-sided code of each state (M, S) over batches (B, M, d); `slots[m]` is the member whose statistics
    normalise state m ("swap" readout): a checkpoint is read as the final model it becomes."""
    rows, sum_MS = 0, 0.0
    for h_BMd in batches:
        rows += len(h_BMd)
        codes = [crosscoder.encode_one(h_BMd[:, m], slot).sum(0, dtype=torch.float64) for m, slot in enumerate(slots)]
        sum_MS = sum_MS + torch.stack(codes)
    return (sum_MS / rows).cpu().numpy()


def displacement_share(displacement_M: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the final displacement that each checkpoint has covered (reference 0, last 1); NaN if nothing moved."""
    final = displacement_M[-1]
    return displacement_M / final if final > 0 else np.full_like(displacement_M, np.nan)


def course_rows(model: str, displacement_M: NDArray[np.float64]) -> list[dict]:
    """Rows `steps` (share of the training steps) and `displacement` of every checkpoint a = 1..C."""
    C = len(displacement_M) - 1
    shares = {"steps": np.arange(C + 1) / C, "displacement": displacement_share(displacement_M)}
    return [
        {"kind": kind, "model": model, "reading": "", "a": a, "value": share_M[a]}
        for kind, share_M in shares.items()
        for a in range(1, C + 1)
    ]


def pair_rows(
    model: str,
    reading: str,
    score_CS: NDArray,
    alive_S: NDArray[np.bool_],
    top: int,
    draws: int,
    rng: np.random.Generator,
) -> list[dict]:
    """Rows `overlap` of every pair (a, b), `chance` (mean, lo, hi) and `alive` (number of latents to choose from)."""
    label = {"model": model, "reading": reading}
    matrix_CC = overlap_matrix([top_latents(score_S, alive_S, top) for score_S in score_CS])
    rows = [
        label | {"kind": "overlap", "a": a + 1, "b": b + 1, "value": value}
        for (a, b), value in np.ndenumerate(matrix_CC)
    ]
    alive = int(alive_S.sum())
    mean, lo, hi = chance_overlap(alive, top, draws, rng)
    return [
        *rows,
        label | {"kind": "chance", "value": mean, "lo": lo, "hi": hi},
        label | {"kind": "alive", "value": alive},
    ]


COLUMNS = ["kind", "model", "reading", "a", "b", "value", "lo", "hi"]


@dataclass
class Readings:
    """A dictionary and which of its latents are alive."""

    folder: Path
    crosscoder: Crosscoder
    alive_S: NDArray[np.bool_]

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "Readings":
        """Read the dictionary and the statistics beside it (features.parquet)."""
        alive = read_parquet(folder / "features.parquet", columns=["alive"])["alive"].to_numpy()
        return cls(folder, load_crosscoder(folder, device), alive)

    def check_members(self, members: list[str]) -> None:
        """Raises ArtifactError when the dictionary reads other states."""
        if self.crosscoder.members != members:
            problem = f"reads {', '.join(self.crosscoder.members)}, expected {', '.join(members)}"
            raise ArtifactError(self.folder, problem, "give the dictionaries in order")


def dynamics_table(
    courses: dict[str, Readings],
    joint: Readings | None,
    shards_of: dict[str, Path],
    cfg: MeasureDynamics,
    device: torch.device,
) -> pd.DataFrame:
    """Columns kind, model, reading, a, b, value, lo, hi; a and b are checkpoint numbers.

    kind: overlap (of the top latents of a and b), chance (mean, lo, hi for random tops), alive (latents to choose
    from), steps and displacement (share covered at a). reading: joint or shift, empty where it does not apply.
    """
    if joint is not None:
        joint.check_members(cfg.joint)
    rows = []
    for course in cfg.courses:
        courses[course.model].check_members(course.members)
        rows += _course_rows(course, courses[course.model], joint, shards_of, cfg, device)
    return pd.DataFrame(rows, columns=COLUMNS)


def _course_rows(
    course: CourseMembers,
    own: Readings,
    joint: Readings | None,
    shards_of: dict[str, Path],
    cfg: MeasureDynamics,
    device: torch.device,
) -> list[dict]:
    """All rows of one model."""
    shards = Shards.open([shards_of[state] for state in course.members], course.members)
    held_out = partial(batches, shards, shards.held_out(cfg.held_out_shards), device)
    checkpoints = range(1, len(course.members))
    nrn_CS = np.stack([nrn(own.crosscoder.W_dec_SMd, 1, tuned=c).cpu().numpy() for c in checkpoints])
    scores = {"joint": (nrn_CS, own.alive_S)}
    if joint is not None:
        code_MS = mean_codes(joint.crosscoder, held_out(), _slots(course.members, cfg.joint))
        scores["shift"] = (code_MS[1:] - code_MS[0], joint.alive_S)
    rows = course_rows(course.model, mean_displacement(held_out()))
    for reading, (score_CS, alive_S) in scores.items():
        rng = np.random.default_rng(stream_seed(cfg.seed, "dynamics", course.model, reading))
        rows += pair_rows(course.model, reading, score_CS, alive_S, cfg.top, cfg.random_draws, rng)
    return rows


def _slots(states: list[str], joint: list[str]) -> list[int]:
    """For every state the member of the joint dictionary that it is a checkpoint of."""
    models = [member.partition("@")[0] for member in joint]
    return [models.index(state.partition("@")[0]) for state in states]
