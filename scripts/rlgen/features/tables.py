"""Mediating sets as a table that people read: one row per task's list, one for the set itself."""

import json
from pathlib import Path

import pandas as pd
from pydantic import Field

from rlgen.files import ArtifactError
from rlgen.strict import Strict
from rlgen.tables import ROLE_MEAN

SHARES = ["carried_share", "features_share", "bias_share", "error_share"]


class SummariseMediation(Strict):
    """One table per procedure and seed."""

    procedures: list[str] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)


def read_set(path: str | Path) -> pd.DataFrame:
    """Rows of one set file: task, size, critical, shares of the shift's length, latents (apart by spaces), note.

    The row `ALL` is the mediating set, with all critical samples and the shares averaged over tasks; the others are the
    tasks' own lists. Raises ArtifactError naming a file that is not such a set.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        whole = _row(ROLE_MEAN, found, sum(found["critical"].values())) | {"note": found["note"]}
        return pd.DataFrame([whole, *(_row(task, entry, entry["critical"]) for task, entry in found["tasks"].items())])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(path, f"not a mediating set ({error!r})") from error


def _row(task: str, entry: dict, critical: int) -> dict[str, object]:
    latents = entry["latents"]
    shares = {name: entry.get(name) for name in SHARES}
    return (
        {"task": task, "size": len(latents), "critical": critical} | shares | {"latents": " ".join(map(str, latents))}
    )
