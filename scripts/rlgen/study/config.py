"""A study: everything a config file says, checked as a whole before any job is planned."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

from pydantic import Discriminator, Field, PrivateAttr, Tag, field_validator

from rlgen.activations.settings import Stream
from rlgen.arms.settings import Arms
from rlgen.behaviour.settings import BenchmarkEvaluation, Evaluation
from rlgen.dictionaries.settings import Dictionary, Recipe
from rlgen.extended.settings import Extended
from rlgen.features.settings import Features
from rlgen.figures.settings import Published
from rlgen.interventions.settings import Interventions, Procedure
from rlgen.ledger.settings import Claim
from rlgen.models.settings import Size
from rlgen.organism.settings import Architecture, ContinuePretraining, OrganismData, Pretrain
from rlgen.sensitivity.settings import Variants
from rlgen.sources.settings import Load, SourcedData
from rlgen.strict import Strict
from rlgen.study.machine import Machine
from rlgen.tasks.settings import TaskRoles
from rlgen.teacher.settings import OwnSolutions
from rlgen.training.settings import DPO, GRPO, RLOO, SFT, Distil

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
Data = Annotated[OrganismData | SourcedData, Field(discriminator="kind")]


def kind_of_evaluation(value: Any) -> str:
    if not isinstance(value, dict):
        return "benchmarks" if isinstance(value, BenchmarkEvaluation) else "organism"
    return "benchmarks" if "backend" in value else "organism"


AnyEvaluation = Annotated[
    Annotated[Evaluation, Tag("organism")] | Annotated[BenchmarkEvaluation, Tag("benchmarks")],
    Discriminator(kind_of_evaluation),
]
Trained = SFT | DPO | GRPO | RLOO | Distil
Model = Annotated[Load | Pretrain | ContinuePretraining | Trained, Field(discriminator="method")]


class Roles(Strict):
    """Which model plays which part."""

    reference: str = Field(description="the model before post-training")
    target: str = Field(description="the model whose generalization is explained")
    contrast: str | None = Field(None, description="a model trained on the same prompts that does not generalize")


class Study(Strict):
    """One study. Every name under `models`, `recipes`, `dictionaries` and `procedures` is the study's own."""

    study: str = Field(description="name of the study: its results lie in results/{study}")
    seeds: list[int] = Field(min_length=1, description="repetitions of the whole study, all of them shown")
    threads: int = Field(1, ge=1, description="threads of numeric work, the same on every machine")
    roles: Roles
    data: Data
    tasks: TaskRoles
    evaluation: AnyEvaluation = Evaluation()
    models: dict[str, Model] = Field(min_length=1, description="model name -> how it comes to be")
    solutions: dict[str, OwnSolutions] = Field(
        default_factory=dict, description="name -> solutions of the training problems that a model of the study writes"
    )
    relearning: list[str] = Field(
        default_factory=list, description="models that SFT teaches from different parents: is a skill lost or masked?"
    )
    stream: Stream
    recipes: dict[str, Recipe] = Field(min_length=1, description="recipe name -> how a dictionary is trained")
    dictionaries: dict[str, Dictionary] = Field(description="dictionary name -> the model states it reads together")
    procedures: dict[str, Procedure] = Field(description="procedure name -> a mediating set and the edits made with it")
    features: Features = Features()
    interventions: Interventions
    claims: dict[str, Claim] = Field(
        default_factory=dict, description="claim name -> what is claimed; written before the run that judges it"
    )
    extended: Extended | None = Field(
        None, description="what `snakemake extended` runs: curves over the number of features, rotation of tasks' roles"
    )
    arms: Arms | None = Field(None, description="models trained in other ways, compared on one page")
    variants: Variants | None = Field(None, description="a sensitivity study: one procedure, one factor at a time")
    machine: Machine = Machine()
    published: Published | None = Field(None, description="results of a paper, drawn beside the study's own")

    _added: dict[str, set[str]] = PrivateAttr(default_factory=dict)  # dictionary -> recipes that variants alone read

    # Checks: one per field, by name, so that an error carries the field it belongs to.

    @field_validator("study")
    @classmethod
    def _is_a_name(cls, study: str) -> str:
        _check_name(study)
        return study

    @field_validator("seeds")
    @classmethod
    def _are_distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError("expected distinct integers from 0 up")
        return seeds

    @field_validator("data")
    @classmethod
    def _has_named_sources(cls, data: Data) -> Data:
        for name in getattr(data, "sources", {}):
            _check_name(name)
        return data

    @field_validator("models", "solutions", "recipes", "dictionaries", "procedures")
    @classmethod
    def _have_names(cls, entries: dict[str, Any]) -> dict[str, Any]:
        for name in entries:
            _check_name(name)
        return dict(sorted(entries.items()))  # the order of keys in a config means nothing

    @field_validator("variants")
    @classmethod
    def _have_names_of_variants(cls, variants: Variants | None) -> Variants | None:
        for factor, entries in [*variants.factors.items(), *variants.siblings.items()] if variants else ():
            for name in (factor, *entries, *(entry for entry in entries.values() if isinstance(entry, str))):
                _check_name(name)
        return variants

    # States: a model at one of its checkpoints.

    def state(self, text: str) -> str:
        """The explicit form of a state: `rl` -> `rl@5`, `rl@2` -> `rl@2`. Raises ValueError for an unknown one."""
        model, at, number = text.partition("@")
        check_known(model, "model", self.models)
        last = self.models[model].checkpoints
        if not at:
            return f"{model}@{last}"
        if not number.isdecimal() or not 1 <= int(number) <= last:
            raise ValueError(f"'{text}' names no checkpoint, expected {model}@1 to {model}@{last}")
        return f"{model}@{int(number)}"

    def label(self, text: str) -> str:
        """The form of a state shown in tables: `rl@5` -> `rl` where 5 is the last checkpoint, `rl@2` -> `rl@2`."""
        explicit = self.state(text)
        model = explicit.partition("@")[0]
        return model if explicit == self.state(model) else explicit

    def checkpoints(self, model: str) -> list[int]:
        """Checkpoint numbers of a model, from 1."""
        return list(range(1, self.models[model].checkpoints + 1))

    def by_role(self) -> list[str]:
        """Models as pages list them: reference, contrast, target, then the others by name."""
        roles = [m for m in (self.roles.reference, self.roles.contrast, self.roles.target) if m in self.models]
        return [*roles, *(model for model in self.models if model not in roles)]

    def trained(self) -> list[str]:
        """Models that the study itself trains, by name."""
        return [name for name, model in self.models.items() if model.method != "load"]

    def made_by(self, *methods: str) -> list[str]:
        """Models that one of these methods makes, by name."""
        return [name for name, model in self.models.items() if model.method in methods]

    def architecture(self, model: str) -> Architecture | Size | None:
        """Size of a model: its own, or that of its first ancestor; None where the config does not say it."""
        settings = self.models[model]
        while hasattr(settings, "parent"):
            settings = self.models[settings.parent.partition("@")[0]]
        return settings.size if isinstance(settings, Load) else settings.architecture

    @property
    def kept_shards(self) -> int:
        """Shards per model state that stay on the disk: all, or the held-out ones where windows come and go."""
        return self.stream.shards if self.stream.windows == 1 else self.stream.held_out_shards

    @property
    def organism(self) -> bool:
        """Whether the study makes its own data and models, cause of generalization included."""
        return self.data.kind == "organism"

    @property
    def salt(self) -> str:
        """Salt of the hash that splits the organism's prompts: the same salt, the same prompts."""
        return self.data.salt or self.study

    # What the stages need of one another.

    def harvested(self, model: str) -> list[int]:
        """Checkpoints of a model whose activations some dictionary reads."""
        wanted = {self.state(s) for d in self.dictionaries.values() for s in d.members}
        return [i for i in self.checkpoints(model) if f"{model}@{i}" in wanted]

    def trained_dictionaries(self) -> list[tuple[str, str]]:
        """Every (dictionary, recipe), by name."""
        return [(name, recipe) for name, entry in self.dictionaries.items() for recipe in entry.recipes]

    # Variants, which study/variants.py has made procedures of.

    def note_added(self, recipes: dict[str, set[str]]) -> None:
        """Keep which recipes of which dictionaries are there for variants alone."""
        self._added = recipes

    def course_beside(self, dictionary: str) -> str | None:
        """The dictionary over all checkpoints of the model that another one explains; None for nulls and courses."""
        tuned, courses = self.tuned_state(dictionary), self.courses()
        course = courses.get(tuned.partition("@")[0])
        apart = self.dictionaries[dictionary].is_null or dictionary in courses.values()
        return None if apart or course is None or self.tuned_state(course) != tuned else course

    def own_recipes(self, dictionary: str) -> list[str]:
        """Recipes that the config lists for a dictionary, without those of variants."""
        added = self._added.get(dictionary, set())
        return [recipe for recipe in self.dictionaries[dictionary].recipes if recipe not in added]

    def asks(self, name: str) -> bool:
        """Whether `variants` ask for more of the main procedure: `equivalence`, `maps`."""
        return bool(self.variants and getattr(self.variants, name))

    def siblings(self) -> list[dict[str, str]]:
        """Other studies that are set beside the main procedure: factor, name, study."""
        factors = self.variants.siblings.items() if self.variants else ()
        return [{"factor": f, "name": name, "study": other} for f, e in factors for name, other in e.items()]

    def factor_of(self) -> dict[str, str]:
        """Variant -> the factor it changes, in the order of the config."""
        factors = self.variants.factors.items() if self.variants else ()
        return {name: factor for factor, variants in factors for name in variants}

    def own_procedures(self) -> dict[str, Procedure]:
        """Procedures that the config lists, without those of variants."""
        return {name: entry for name, entry in self.procedures.items() if name not in self.factor_of()}

    def compared_procedures(self) -> list[str]:
        """The main procedure of the variants, and these."""
        return [self.variants.procedure, *self.factor_of()] if self.variants else []

    def courses(self) -> dict[str, str]:
        """Model -> the dictionary over the reference and all checkpoints of that model, in order."""
        found = {}
        for model in self.by_role():
            course = [self.state(self.roles.reference), *(f"{model}@{i}" for i in self.checkpoints(model))]
            for name, entry in self.dictionaries.items():
                if len(course) > 2 and not entry.permute_shift and [self.state(s) for s in entry.members] == course:
                    found.setdefault(model, name)
        return found

    def joint(self) -> str | None:
        """The dictionary over reference, contrast and target, in any order after the reference."""
        wanted = {self.state(m) for m in (self.roles.reference, self.roles.contrast, self.roles.target) if m}
        for name, entry in self.dictionaries.items():
            if len(wanted) == 3 and not entry.permute_shift and {self.state(s) for s in entry.members} == wanted:
                return name
        return None

    def tuned_state(self, dictionary: str) -> str:
        """The last member of a dictionary: the state whose difference from the reference it explains."""
        return self.state(self.dictionaries[dictionary].members[-1])

    def explained(self, procedure: str) -> str:
        """Label of the model that a procedure explains."""
        return self.label(self.tuned_state(self.procedures[procedure].dictionary))

    def arm_of(self, procedure: str) -> str:
        """The model that a procedure explains."""
        return self.tuned_state(self.procedures[procedure].dictionary).partition("@")[0]

    def edited_states(self) -> list[str]:
        """Labels of all states that some procedure edits, by name. Variants edit what their main procedure edits."""
        return list(dict.fromkeys(self.label(s) for p in self.own_procedures().values() for s in p.edits))


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"'{name}' cannot be part of a path, expected letters, digits, '-', '_' and '.'")


def check_known(name: str, what: str, known: Any) -> None:
    if name not in known:
        raise ValueError(f"unknown {what} '{name}', expected one of {', '.join(known)}{nearest(name, known)}")


def told(field: str, check: Callable[..., Any], *arguments: Any) -> Iterator[str]:
    """What a check refuses, under the name of the field."""
    try:
        check(*arguments)
    except ValueError as error:
        yield f"{field}: {error}"


def nearest(name: str, known: Iterable[str]) -> str:
    """`, nearest: seeds` for a misspelt name; nothing where no known one is like it."""
    found = difflib.get_close_matches(name, [str(one) for one in known], n=1)
    return f", nearest: {found[0]}" if found else ""
