"""What is estimated of one job."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class DictionaryTraining:
    """Training of a dictionary: its kind (`objective precision`), FLOPs, and hours for reading its rows."""

    kind: str
    flops: float
    reading: float


@dataclass(frozen=True)
class Work:
    """One job. `hours`, `gpu_bytes` (of one GPU) and `host_bytes` (at least) are None where nothing is said."""

    hours: float | None = None
    tokens: float = 0
    gpus: int = 1  # that the settings ask for, if any are used
    gpu_bytes: float | None = None
    host_bytes: float | None = None
    training: DictionaryTraining | None = None  # of a dictionary, which docs/speed.csv may have timed


def precision_of(name: str) -> str:
    """Of the arithmetic, as `Assumptions.rate` names it."""
    return "float32" if name == "float32" else "bfloat16"


@cache
def lines_of(path: Path) -> int | None:
    """Lines of a file; None where it is not there."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        return sum(1 for _ in file)
