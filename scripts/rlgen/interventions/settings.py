"""Settings of the analysis: feature statistics, dynamics, mediating features, interventions."""

from typing import Literal

from pydantic import Field, field_validator

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
    readout: Literal["swap", "own"]
    edits: dict[str, list[Literal["exchange", "disable", "scale", "add"]]]
    tuned: str
    random_sets: int


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

    dictionary: str = Field(description="a pair: reference first")
    recipe: str
    score: Literal["activation", "contribution"] = "contribution"
    cut: Literal["intersection", "cumulative"] = "cumulative"
    cut_share: float = Field(
        0.8, gt=0, lt=1, description="intersection: share of a task's maximum; cumulative: share of the positive sum"
    )
    readout: Literal["swap", "own"] = "swap"
    critical: Literal["gained", "lost"] = Field(
        "gained", description="samples that choose: gained = reference wrong, tuned right; lost = the reverse"
    )
    edits: dict[str, list[Literal["exchange", "disable", "scale", "add"]]] = Field(
        description="running model state -> edits made inside its generation"
    )

    @field_validator("edits")
    @classmethod
    def _by_state(cls, edits: dict) -> dict:
        return dict(sorted(edits.items()))  # the order of keys in a config means nothing


class Interventions(Strict):
    """Edits inside generation (docs/method.md, section 8)."""

    doses: list[float] = Field(min_length=1, description="the dose curve; the dose is chosen on the discovery half")
    random_sets: int = Field(20, ge=1, description="matched random sets per edit")
    random_directions: int = Field(20, ge=1, description="random directions of the rivals' norm")
    truth_doses: list[float] = Field(min_length=1, description="multiples of the planted direction")
    positions: Literal["completion", "all"] = Field(
        "completion", description="edited from the last prompt token on, or everywhere"
    )
    leave_out: list[str] = Field(
        default_factory=list, description="tasks that edited models do not answer, such as ones with very long answers"
    )
    bootstrap: int = Field(2000, ge=100, description="bootstrap draws of every interval")
