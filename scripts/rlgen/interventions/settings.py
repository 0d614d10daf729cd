"""Settings of the analysis: feature statistics, dynamics, mediating features, interventions."""

from typing import Literal

from pydantic import Field, field_validator

from rlgen.names import LISTED_BY, Readout
from rlgen.strict import Strict


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
    readout: Readout
    edits: dict[str, list[Literal["exchange", "disable", "scale", "add"]]]
    tuned: str
    away: list[str]
    random_sets: int
    readout_variance: float


class Steering(Editing):
    """The dictionary-free edits of `states`."""

    states: list[str]
    target: str
    truth_doses: list[float]
    headers: dict[Literal["towards", "away"], str] = Field(
        default_factory=dict,
        description="word in front of a prompt that asks for the target's behaviour, or against it",
    )


class Procedure(Strict):
    """One way to choose a mediating set and to act on it."""

    dictionary: str = Field(
        description="reference first, the explained model last, and perhaps one between them, to be edited, too"
    )
    recipe: str
    score: Literal["activation", "contribution", "size", "attribution", "elimination", "gates"] = Field(
        "contribution", description="attribution and what follows run both models; the last two rank all tasks at once"
    )
    cut: Literal["intersection", "cumulative", "top"] = "cumulative"
    cut_share: float = Field(
        0.8, gt=0, lt=1, description="intersection: share of a task's maximum; cumulative: share of the positive sum"
    )
    cut_count: int | None = Field(None, ge=1, description="top: number of features")
    gate_penalty: float = Field(
        0.03, gt=0, description="gates: price of an open gate, in units of the distance between the models"
    )
    readout: Readout = Field(
        "swap", description="mapped: what the running model's stream predicts of the other members, where they differ"
    )
    critical: Literal["gained", "lost"] = Field(
        "gained", description="samples that choose: gained = reference wrong, tuned right; lost = the reverse"
    )
    edits: dict[str, list[Literal["exchange", "disable", "scale", "add"]]] = Field(
        description="running model state -> edits made inside its generation"
    )

    away: list[str] = Field(
        default_factory=list,
        description="edited states that an exchange moves towards the reference, as it does the explained model's own: "
        "the set is taken out of them",
    )

    @field_validator("edits")
    @classmethod
    def _by_state(cls, edits: dict) -> dict:
        return dict(sorted(edits.items()))  # the order of keys in a config means nothing

    @property
    def list_score(self) -> str:
        """The score that every task's own list is made by."""
        return LISTED_BY.get(self.score, self.score)

    @property
    def by_cause(self) -> bool:
        """Whether the score needs the models."""
        return self.list_score == "attribution"

    @property
    def joint(self) -> bool:
        """Whether all tasks are ranked at once."""
        return self.score in LISTED_BY


class Interventions(Strict):
    """Edits inside generation (docs/method.md, section 8)."""

    doses: list[float] = Field(min_length=1, description="the dose curve; the dose is chosen on the discovery half")
    random_sets: int = Field(20, ge=1, description="random sets per edit, matched on what they add; as many rotations")
    readout_variance: float = Field(
        0.8, ge=0, lt=1, description="smallest share of the running model's variance a readout must explain to edit it"
    )
    random_directions: int = Field(20, ge=1, description="random directions of the rivals' norm")
    truth_doses: list[float] = Field(min_length=1, description="multiples of the planted direction")
    positions: Literal["completion", "all"] = Field(
        "completion", description="edited from the last prompt token on, or everywhere"
    )
    leave_out: list[str] = Field(
        default_factory=list, description="tasks that edited models do not answer, such as ones with very long answers"
    )
    bootstrap: int = Field(2000, ge=100, description="bootstrap draws of every interval")
