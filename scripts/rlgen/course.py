"""The dynamics of all courses of a study: from dictionaries and activations to one long table.

Shapes: S latents, C checkpoints, M = 1 + C states (reference first).
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from rlgen.crosscoder import Crosscoder
from rlgen.dynamics import course_rows, mean_codes, mean_displacement, overlap_rows
from rlgen.features import nrn
from rlgen.files import ArtifactError, read_parquet
from rlgen.held_out import batches, load_crosscoder
from rlgen.seeds import stream_seed
from rlgen.settings.analysis import CourseMembers, MeasureDynamics
from rlgen.shards import Shards

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
        rows += overlap_rows(course.model, reading, score_CS, alive_S, cfg.top, cfg.random_draws, rng)
    return rows


def _slots(states: list[str], joint: list[str]) -> list[int]:
    """For every state the member of the joint dictionary that it is a checkpoint of."""
    models = [member.partition("@")[0] for member in joint]
    return [models.index(state.partition("@")[0]) for state in states]
