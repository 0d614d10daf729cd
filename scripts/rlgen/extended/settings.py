"""What a study says of sets that vary what the main one fixed. (docs/method.md, section 12.)"""

from itertools import pairwise

from pydantic import Field, field_validator

from rlgen.interventions.settings import Editing
from rlgen.names import Readout
from rlgen.strict import Strict

ALIVE = "alive"  # the `score` of the set of all alive latents


class Extended(Strict):
    """Curves over the number of features, and rotation of the tasks' roles, for one procedure."""

    procedure: str = Field(description="whose dictionary is read and whose scores rank; the score has to be by cause")
    sizes: list[int] = Field(
        min_length=2, description="numbers of features, rising; all alive ones together stand beside them"
    )
    left_out: int = Field(
        2, ge=1, description="rotation: tasks out of domain that have no say in a set, every choice of so many in turn"
    )

    @field_validator("sizes")
    @classmethod
    def _rise(cls, sizes: list[int]) -> list[int]:
        if sizes[0] < 1 or any(b <= a for a, b in pairwise(sizes)):
            raise ValueError("expected rising numbers from 1 up")
        return sizes


class VaryingSets(Editing):
    """Sets of one procedure's dictionary; `tuned` is the dictionary's tuned model."""

    procedure: str
    score: str
    readout: Readout
    tuned: str
    unseen: list[str]
    sizes: list[int] = Field(min_length=2)
    left_out: int = Field(ge=1)
    readout_variance: float
