"""What the scripts that edit models are told. Labels of states name rows of tables: `rl` is rl's last checkpoint."""

from typing import Literal

from rlgen.settings.data import Evaluation, OrganismData
from rlgen.settings.strict import Strict


class MeasureTruth(Strict):
    """Settings of measuring the planted direction."""

    study: str
    seed: int
    threads: int
    data: OrganismData
    layer: int


class InsideGeneration(Strict):
    """Common to everything that edits a model while it generates. `models` in the order of the checkpoint folders."""

    seed: int
    threads: int
    layer: int
    positions: Literal["completion", "all"]
    evaluation: Evaluation
    models: list[str]
    reference: str
    selection: list[str]
    doses: list[float]
    random_directions: int


class Intervene(InsideGeneration):
    """Settings of one procedure's edits; `tuned` is the dictionary's tuned model."""

    procedure: str
    readout: Literal["swap", "own"]
    edits: dict[str, list[Literal["exchange", "disable", "scale", "add"]]]
    tuned: str
    random_sets: int


class Steer(InsideGeneration):
    """Settings of the dictionary-free edits of `states`."""

    states: list[str]
    target: str
    truth_doses: list[float]


class MeasureRecovery(Strict):
    """Settings of comparing every procedure's set with the planted direction."""

    seed: int
    threads: int
    procedures: list[str]
    readouts: list[Literal["swap", "own"]]
