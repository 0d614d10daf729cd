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


class Editing(Strict):
    """Common to everything that edits a model while it answers. `models` in the order of the checkpoint folders."""

    seed: int
    threads: int
    layer: int
    positions: Literal["completion", "all"]
    models: list[str]
    reference: str
    selection: list[str]
    doses: list[float]
    random_directions: int


class Intervening(Editing):
    """One procedure's edits; `tuned` is the dictionary's tuned model."""

    procedure: str
    readout: Literal["swap", "own"]
    edits: dict[str, list[Literal["exchange", "disable", "scale", "add"]]]
    tuned: str
    random_sets: int
    readout_variance: float


class Steering(Editing):
    """The dictionary-free edits of `states`."""

    states: list[str]
    target: str
    truth_doses: list[float]


class Intervene(Intervening):
    """The slice that `scripts/intervene.py` receives."""

    evaluation: Evaluation


class Steer(Steering):
    """The slice that `scripts/steer.py` receives."""

    evaluation: Evaluation


class MeasureRecovery(Strict):
    """Settings of comparing every procedure's set with the planted direction."""

    seed: int
    threads: int
    procedures: list[str]
    readouts: list[Literal["swap", "own"]]
