"""Settings of the analysis: feature statistics, dynamics, mediating features, interventions."""

from typing import Literal

from pydantic import Field, field_validator

from rlgen.settings.strict import Strict


class Features(Strict):
    """Statistics of latents (docs/method.md, section 5) and dynamics (section 6)."""

    alive_firings: int = Field(10, ge=1, description="held-out rows a latent must fire on to count as alive")
    top: int = Field(50, ge=1, description="size of the tuned-specific top list in the dynamics")
    random_draws: int = Field(1000, ge=10, description="draws of the chance baseline and of permutation tests")
    contexts: int = Field(5, ge=1, description="maximally activating contexts kept per latent")
    context_tokens: int = Field(12, ge=1, description="tokens shown of a context")
    course_recipe: str = Field("batchtopk", description="recipe of the dictionaries that the dynamics read")


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


class MeasureDictionary(Strict):
    """What measuring one dictionary obeys: the slice that `scripts/measure_dictionary.py` receives."""

    members: list[str] = Field(min_length=2, description="model states with explicit checkpoints, as 'rl@5'")
    permute_shift: bool
    held_out_shards: int = Field(ge=1)
    alive_firings: int = Field(ge=1)
    contexts: int = Field(ge=1)
    context_tokens: int = Field(ge=1)
    threads: int = Field(ge=1)


class CourseMembers(Strict):
    """The reference and all checkpoints of one model, in one dictionary."""

    model: str
    members: list[str] = Field(min_length=2)
    permute_shift: Literal[False] = False


class MeasureDynamics(Strict):
    """The slice that `scripts/measure_dynamics.py` receives."""

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


class ScoreFeatures(Strict):
    """The slice that `scripts/score_features.py` receives: a procedure's choice, without its edits."""

    score: Literal["activation", "contribution"]
    cut: Literal["intersection", "cumulative"]
    cut_share: float = Field(gt=0, lt=1)
    readout: Literal["swap", "own"]
    critical: Literal["gained", "lost"]
    tasks: list[str] = Field(min_length=1, description="selection tasks: only they choose")
    random_draws: int = Field(ge=10)
    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
