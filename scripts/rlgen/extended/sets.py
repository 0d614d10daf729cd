"""Sets of one dictionary's latents by size, by score and by the tasks that choose. (docs/method.md, section 12.)

Shapes: T tasks, S latents.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rlgen.extended.settings import ALIVE, VaryingSets
from rlgen.features.mediation import choose, positive_shares, ranked
from rlgen.features.rotation import rotated_sets
from rlgen.features.selection import by_latent
from rlgen.files import read_parquet
from rlgen.names import CRITICAL


@dataclass(frozen=True)
class VariedSet:
    """One set, the score that ranked it, and the tasks it was chosen on, where its dose is chosen, too."""

    kind: str  # size | rotation
    score: str
    size: int  # as asked for; the set is smaller where fewer latents have a positive score
    latents: tuple[int, ...]
    tasks: tuple[str, ...]


def by_size(
    share_TS: dict[str, NDArray[np.float64]], alive_S: NDArray[np.bool_], sizes: Sequence[int], tasks: Sequence[str]
) -> list[VariedSet]:
    """The first 1, 2, 4, ... latents under every score, and all alive ones.

    `share_TS`: score -> shares of the tasks that have critical samples, or one row where all are ranked together. Sizes
    beyond what is alive are left out: they would all be the same set.
    """
    own = tuple(tasks)
    sets = [
        VariedSet("size", score, size, _top(shares, alive_S, size), own)
        for score, shares in share_TS.items()
        for size in sizes
        if size <= alive_S.sum()
    ]
    everyone = tuple(int(k) for k in np.flatnonzero(alive_S))
    return [*(s for s in sets if s.latents), VariedSet("size", ALIVE, len(everyone), everyone, own)]


def _top(shares_TS: NDArray[np.float64], alive_S: NDArray[np.bool_], size: int) -> tuple[int, ...]:
    present_T = np.ones(len(shares_TS), dtype=bool)
    return tuple(ranked(choose(shares_TS, present_T, alive_S, "top", size), shares_TS))


def shares_of(
    scores: pd.DataFrame, joint: pd.DataFrame | None, name: str, critical: dict[str, int], n_latents: int
) -> dict[str, NDArray[np.float64]]:
    """Score -> shares (T, S) of the tasks with critical samples, the ranking of all tasks together first (1, S).

    `scores` has columns population, task, latent, score_name, score_share; `joint`, called `name`, population, latent,
    score; `critical`: task -> number of samples.
    """
    present = [task for task, n in critical.items() if n > 0]
    rows = scores[(scores["population"] == CRITICAL) & scores["task"].isin(present)]
    shares = {}
    if joint is not None:
        shares[name] = by_latent(joint[joint["population"] == CRITICAL], "score", n_latents)[None]
    for score, some in rows.groupby("score_name"):
        shares[score] = np.stack([by_latent(some[some["task"] == t], "score_share", n_latents) for t in present])
    return shares


def rotated(
    attribution: pd.DataFrame, tasks: Sequence[str], alive_S: NDArray[np.bool_], size: int, left_out: int
) -> list[VariedSet]:
    """The `size` latents of highest attribution, with every `left_out` of the tasks having no say in turn.

    `attribution` has columns population, task, latent, attribution. Attributions of a task know of no other task, so
    that every choice of tasks is a mean of rows. What is ranked together cannot be rotated without being ranked anew.
    """
    rows = attribution[attribution["population"] == CRITICAL]
    score_TS = np.stack([by_latent(rows[rows["task"] == task], "attribution", len(alive_S)) for task in tasks])
    share_TS = np.stack([positive_shares(score_S, alive_S) for score_S in score_TS])
    found = rotated_sets(share_TS, tasks, share_TS.any(1), alive_S, "top", size, left_out)
    sets = []
    for out, chosen_S in found.items():
        rest = tuple(task for task in tasks if task not in out)
        latents = tuple(int(k) for k in np.flatnonzero(chosen_S))
        sets.append(VariedSet("rotation", "attribution", size, latents, rest))
    return [s for s in sets if s.latents]


def read_sets(
    cfg: VaryingSets, dictionary: Path, scores: Path, chosen: Path, attribution: Sequence[Path], joint: Path | None
) -> list[VariedSet]:
    """All sets that a job runs, from the files of one procedure and seed."""
    alive_S = read_parquet(dictionary / "features.parquet").sort_values("latent")["alive"].to_numpy()
    found = json.loads(chosen.read_text(encoding="utf-8"))
    together = read_parquet(joint) if joint else None
    shares = shares_of(read_parquet(scores), together, cfg.score, found["critical"], len(alive_S))
    causes = pd.concat([read_parquet(path) for path in attribution], ignore_index=True)
    tasks, size = [*cfg.selection, *cfg.unseen], len(found["latents"])
    return [*by_size(shares, alive_S, cfg.sizes, cfg.selection), *rotated(causes, tasks, alive_S, size, cfg.left_out)]
