"""What a study says of its arms: models trained from one parent in different ways. (docs/method.md, section 13.)"""

from pydantic import Field, field_validator

from rlgen.names import Readout
from rlgen.strict import Strict

Member = tuple[str, str]  # an arm and its group


class Arms(Strict):
    """Which models are compared, and on how many texts their distance from the reference is read."""

    groups: dict[str, list[str]] = Field(
        min_length=2, description="where the training texts come from, in words -> models trained on such"
    )
    prompts: int = Field(
        64, ge=1, description="discovery prompts of each task on which the reference writes what all arms are read on"
    )
    watch: str | None = Field(
        None, description="procedure whose set is read in every arm: does it tell early who will generalize?"
    )
    sets: list[str] = Field(
        default_factory=list,
        description="procedures that each chose a set on one arm, by a dictionary of the reference and this arm: do "
        "the sets add the same?",
    )

    @field_validator("groups")
    @classmethod
    def _once_each(cls, groups: dict[str, list[str]]) -> dict[str, list[str]]:
        listed = [model for models in groups.values() for model in models]
        if len(set(listed)) < len(listed) or not all(groups.values()):
            raise ValueError(f"lists {', '.join(listed)}, expected distinct models, and some in every group")
        return groups

    def listed(self) -> list[Member]:
        """Every model with its group: groups by name, as the order of keys means nothing, models as they are listed."""
        return [(model, group) for group, models in sorted(self.groups.items()) for model in models]


class MeasureArm(Strict):
    """The slice that `scripts/arms/measure_arm.py` receives."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    states: list[str] = Field(min_length=1, description="labels of all checkpoints of the arm, in order")
    layer: int = Field(ge=0, description="block after which the displacement is read")
    prompts: int = Field(ge=1)
    max_new_tokens: int = Field(ge=1)
    readout: Readout | None = Field(description="of the procedure that is watched, where one is")


class ForetellArms(Strict):
    """The slice that `scripts/arms/foretell_arms.py` receives."""

    arms: list[Member] = Field(min_length=1, description="in the order of the tables of drift")
    seeds: list[int] = Field(description="in the order of the dictionaries and sets")
    reference: str
    target: str
    random_sets: int = Field(ge=1, description="sets as large as the procedure's, alike in what moves in the target")
    bootstrap: int = Field(ge=1)


class CompareArms(Strict):
    """The slice that `scripts/arms/compare_arms.py` receives."""

    threads: int = Field(ge=1)
    arms: list[Member] = Field(min_length=1, description="in the order of the tables of drift")
    seeds: list[int]
    sets: list[tuple[str, Readout]] = Field(description="arm and readout of every procedure, in their order")


class SummariseArms(Strict):
    """The slice that `scripts/arms/summarise_arms.py` receives."""

    arms: list[Member] = Field(min_length=1, description="in the order of the tables of drift")
    seeds: list[int]
    reference: str
    target: str
    bootstrap: int = Field(ge=1)
