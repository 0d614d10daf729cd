"""Variants of a study's main procedure, one factor at a time. (docs/method.md, section 11.)"""

from typing import Literal

from pydantic import Field, model_validator

from rlgen.behaviour.settings import Evaluation
from rlgen.names import Readout
from rlgen.strict import Strict

Value = str | int | float | bool | None
MAIN = "main"  # the `factor` of the main procedure itself, in tables
PARTS = ("recipe", "procedure", "dictionary")


class MainInside(Strict):
    """What is told to jobs that run both models of the main procedure. `models`: reference, tuned."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    layer: int
    positions: Literal["completion", "all"]
    evaluation: Evaluation
    models: list[str] = Field(min_length=2, max_length=2)
    reference: str
    selection: list[str] = Field(min_length=1)
    readout: Readout


class Variant(Strict):
    """One change of the main procedure: of its recipe, of how it chooses, or of the dictionary that it reads."""

    recipe: dict[str, Value] = Field(
        default_factory=dict, description="fields of the main recipe -> other values; `replicate` is another seed"
    )
    procedure: dict[str, Value] = Field(
        default_factory=dict, description="fields of the main procedure, but for its edits -> other values"
    )
    dictionary: str | None = Field(
        None, description="another pair that ends with the same model; a null one says what a null finds"
    )

    @model_validator(mode="after")
    def _changes_one_part(self) -> "Variant":
        given = [part for part in PARTS if getattr(self, part)]
        if len(given) != 1:
            raise ValueError(f"changes {' and '.join(given) or 'nothing'}, expected one of {', '.join(PARTS)}")
        return self

    @property
    def change(self) -> str:
        """The change in words: `latents 64`, `cut cumulative, cut_count none`."""
        fields = {"dictionary": self.dictionary} if self.dictionary else self.recipe or self.procedure
        return ", ".join(f"{name} {'none' if value is None else value}" for name, value in fields.items())


class Equivalence(Strict):
    """Do latents that look shared do the same in both models? Each is ablated in either (the organism)."""

    latents: int = Field(40, ge=3, description="shared latents, the most frequent on task text first")
    prompts: int = Field(40, ge=2, description="first test prompts of every selection task")


class Maps(Strict):
    """Maps from the reference's stream to the explained model's, without a dictionary (the organism)."""

    kinds: list[Literal["ridge", "mlp", "kernel"]] = Field(["ridge", "mlp", "kernel"], min_length=1)
    units: int = Field(512, ge=1, description="hidden units of the mlp, random Fourier features of the kernel")
    steps: int = Field(1500, ge=1, description="of the mlp's Adam, 1,024 rows each")


class Variants(Strict):
    """A sensitivity study: what is varied, and from when on a difference counts."""

    procedure: str = Field(description="the main procedure, of which every variant changes one factor")
    factors: dict[str, dict[str, Variant]] = Field(
        default_factory=dict,
        description="factor -> name of a variant, in no other use as recipe or procedure -> what it changes; none: the "
        "main procedure alone, for another study whose sibling this is",
    )
    siblings: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="what one study cannot vary, as layer, token stream, models: factor -> name of a variant -> another"
        " study with variants, which has run, with the same roles; only effects and verdicts can be compared",
    )
    same_cosine: float = Field(
        0.7, gt=0, le=1, description="cosine of decoder rows from which two latents can be the same one"
    )
    equivalence: Equivalence | None = Field(
        None, description="what ablating frequent shared latents of the main dictionary does in either model"
    )
    maps: Maps | None = Field(None, description="what survives of the main set's edit under such maps")
    margin: float = Field(
        0.1, gt=0, lt=1, description="change of accuracy from which the page says that a factor matters"
    )

    def changes(self) -> dict[str, dict[str, str]]:
        """Factor -> variant -> what it changes, in words."""
        own = {f: {name: v.change for name, v in entries.items()} for f, entries in self.factors.items()}
        return own | {f: {name: f"study {other}" for name, other in e.items()} for f, e in self.siblings.items()}
