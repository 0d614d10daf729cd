"""What the scripts that put many jobs' tables into one are told. Files come in the order of these lists."""

from pydantic import Field

from rlgen.settings.strict import Strict


class SummariseSeeds(Strict):
    """One table per seed."""

    seeds: list[int] = Field(min_length=1)


class SummariseBehaviour(Strict):
    """One table per model, seed and group of tasks."""

    models: list[str] = Field(min_length=1)
    trained: list[str] = Field(description="models that the study trains: only they have curves")
    seeds: list[int] = Field(min_length=1)
    groups: list[str] = Field(min_length=1)
    bootstrap: int = Field(ge=1, description="draws per interval")


class SummariseDictionary(Strict):
    """One table per recipe and seed."""

    dictionary: str
    recipes: list[str] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)


class SummariseMediation(Strict):
    """One table per procedure and seed."""

    procedures: list[str] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)


class SummariseInterventions(Strict):
    """One table per procedure and seed, and one of steering per seed."""

    procedures: list[str]
    tuned: list[str] = Field(
        description="the model each procedure explains: its edits aim at the target only if it is that"
    )
    seeds: list[int] = Field(min_length=1)
    reference: str
    target: str
    bootstrap: int = Field(ge=1, description="draws per interval")
