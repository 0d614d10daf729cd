"""Claims as a study's file states them: a sentence, a statistic, a bound. (docs/method.md, section 10.)"""

from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from rlgen.strict import Strict

Role = Literal["in_domain", "selection", "unseen"]
Form = Literal["set_dose", "equal_norm", "own_dose"]
Rival = Literal[
    "random", "size", "noncritical", "complement", "alive", "nrn", "rotated", "direction", "shift-selection",
    "shift-in_domain", "truth", "header", "along", "rest",
]  # fmt: skip


class Statistic(NamedTuple):
    """What a statistic needs of its claim, which tables it reads, and what it is, in words."""

    needs: tuple[str, ...]
    may: tuple[str, ...]
    tables: tuple[str, ...]
    unit: str


STATISTICS = {
    "accuracy_difference": Statistic(("model", "against", "role"), (), ("accuracy",), "accuracy"),
    "norm_ratio_tail": Statistic(
        ("dictionary", "against", "recipe", "nrn_above"), (), ("features",), "share of alive latents"
    ),
    "early_overlap": Statistic(("model", "against"), (), ("dynamics",), "share of top latents"),
    "set_size": Statistic(("procedure",), (), ("sets",), "latents"),
    "task_overlap": Statistic(("procedure",), (), ("overlap", "sets"), "Jaccard"),
    "effect": Statistic(
        ("procedure", "state", "role"), ("edit",), ("effects", "sets", "controls"), "change of accuracy"
    ),
    "gap_share": Statistic(("procedure", "role"), ("edit",), ("effects", "sets", "controls"), "share of the gap"),
    "difference": Statistic(
        ("procedure", "state", "role", "rivals", "form"),
        ("edit",),
        ("comparisons", "sets", "controls"),
        "accuracy",
    ),
    "truth_cosine": Statistic(("procedure",), (), ("recovery", "sets"), "cosine"),
    "explains": Statistic(("predictor", "role"), (), ("explained",), "rank correlation"),
    "foretells": Statistic(("predictor", "role"), (), ("foretold",), "rank correlation"),
    "robustness": Statistic(("factor", "state", "role"), (), ("sensitivity",), "accuracy"),
    "unmeasured": Statistic(("because",), (), (), ""),
}
READINGS = ("set", "all", "shift", "own")  # predictors that foretell alone
FIELDS = sorted({field for s in STATISTICS.values() for field in (*s.needs, *s.may)})


class Claim(Strict):
    """One claim. Which fields it needs is up to its statistic; a field that the statistic does not read is refused.

    accuracy_difference: accuracy of `model` minus that of `against` on the tasks of a role. norm_ratio_tail: share of
    alive latents with NRN above `nrn_above` in `dictionary` minus that share in `against`. early_overlap: overlap of
    the top latents of the first and the last checkpoint of `model`, minus that of `against`. set_size: latents of a
    procedure's set. task_overlap: Jaccard of all tasks' lists minus its mean by chance. effect: change of accuracy that
    the set makes in `state` at its chosen dose. gap_share: that change in the reference, as a share of the difference
    between target and reference. difference: the set's accuracy minus that of the strongest of `rivals`. truth_cosine:
    cosine of the set's change with the planted direction minus what random sets reach. robustness: accuracy under the
    set of the variant of `factor` that lies farthest towards or beyond the bound, minus that under the main procedure's
    set. explains: rank correlation of `predictor`, over checkpoints of all arms, with the change of accuracy on the
    tasks of a role. foretells: rank correlation of `predictor` at the first checkpoint, over arms without the target,
    with that change at their end, minus the rank correlation of in-domain accuracy. unmeasured: no table of the project
    can tell, `because` says why.
    """

    says: str = Field(min_length=1, description="the claim, one sentence")
    of: Literal["paper", "ours", "robustness", "refutation"] = Field(
        description="whose claim it is, or what about: robustness to variants; what would refute the set"
    )
    statistic: Literal[tuple(STATISTICS)]
    above: float | None = Field(None, description="holds where the statistic lies above this number")
    below: float | None = Field(None, description="holds where the statistic lies below this number")
    within: float | None = Field(None, gt=0, description="holds where the statistic is at most this far from zero")
    seeds: int = Field(5, ge=1, description="seeds without which it is not judged over seeds; 5 can reach p = 1/32")
    procedure: str | None = None
    state: str | None = Field(None, description="the edited model state")
    edit: str | None = Field(None, description="the edit, where the procedure makes several in this state")
    role: Role | None = Field(None, description="the tasks that are scored")
    rivals: list[Rival] | None = Field(None, min_length=1, description="the set must beat every one of them")
    form: Form | None = Field(
        None, description="rivals at the set's dose, at equal mean length of what is added, or each at its own dose"
    )
    model: str | None = None
    against: str | None = Field(None, description="what it is compared with: a model, or a dictionary")
    dictionary: str | None = None
    recipe: str | None = None
    nrn_above: float | None = Field(None, gt=0.5, lt=1, description="latents with a larger NRN are counted")
    predictor: Literal["kl", "displacement", "in_domain", "set", "all", "shift", "own"] | None = Field(
        None,
        description="of an arm's checkpoint: forward KL to the reference, displacement, in-domain accuracy; foretells "
        "alone knows what the watched set reads, all latents, the mean shift, or a set chosen at that checkpoint",
    )
    factor: str | None = Field(None, description="factor of the study's variants")
    because: str | None = Field(None, min_length=1, description="why nothing can tell")

    @model_validator(mode="after")
    def _fits_its_statistic(self) -> "Claim":
        needs, may, _, _ = STATISTICS[self.statistic]
        given = {field for field in FIELDS if getattr(self, field) is not None}
        if missing := [field for field in needs if field not in given]:
            raise ValueError(f"statistic '{self.statistic}' needs {', '.join(missing)}, expected a value for each")
        if extra := sorted(given - {*needs, *may}):
            reads = ", ".join((*needs, *may))
            raise ValueError(f"statistic '{self.statistic}' does not read {', '.join(extra)}, expected {reads}")
        bounds = [bound for bound in ("above", "below", "within") if getattr(self, bound) is not None]
        if len(bounds) != (self.statistic != "unmeasured"):
            found = " and ".join(bounds) or "no bound"
            wanted = "no bound" if self.statistic == "unmeasured" else "one of above, below, within"
            raise ValueError(f"states {found}, expected {wanted}")
        told = {"explains": ("kl", "displacement", "in_domain"), "foretells": ("kl", "displacement", *READINGS)}
        if self.predictor and self.predictor not in told[self.statistic]:
            expected = ", ".join(told[self.statistic])
            raise ValueError(f"statistic '{self.statistic}' knows no predictor {self.predictor}, expected {expected}")
        if self.rivals and self.within is not None and len(self.rivals) > 1:
            raise ValueError("within compares with several rivals, expected one")
        return self

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables it is judged from."""
        return STATISTICS[self.statistic].tables

    @property
    def bound(self) -> str:
        """The bound in words: `> 0.8`, `< -0.05`, `within 0.05`."""
        if self.within is not None:
            return f"within {self.within:g}"
        if self.above is not None:
            return f"> {self.above:g}"
        return "" if self.below is None else f"< {self.below:g}"


def tables_of(claims: dict[str, Claim]) -> list[str]:
    """Names of the tables that some claim is judged from, sorted."""
    return sorted({table for claim in claims.values() for table in claim.tables})


def dictionaries_of(claims: dict[str, Claim]) -> list[str]:
    """Dictionaries whose latents some claim counts, sorted."""
    pairs = [(c.dictionary, c.against) for c in claims.values() if c.dictionary]
    return sorted({name for pair in pairs for name in pair})


def states_of(claim: Claim) -> dict[str, str]:
    """Field -> the model state it names. What a dictionary's tail is compared with is no state."""
    fields = ["state", "model", *([] if claim.dictionary else ["against"])]
    return {field: name for field in fields if (name := getattr(claim, field)) is not None}
