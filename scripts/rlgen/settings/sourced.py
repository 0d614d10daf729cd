"""Settings of a study whose data others published."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from rlgen.settings.benchmarks import Benchmark, BenchmarkEvaluation
from rlgen.settings.data import Evaluation, OrganismData
from rlgen.settings.sources import ProblemSource, TextSource
from rlgen.settings.strict import Strict
from rlgen.settings.teacher import Teacher


def _kind_of_source(value: Any) -> str:
    entry = value.get("format") if isinstance(value, dict) else getattr(value, "format", None)
    kind = entry.get("kind", "problem") if isinstance(entry, dict) else getattr(entry, "kind", "problem")
    return "problem" if kind == "problem" else "text"


Source = Annotated[
    Annotated[ProblemSource, Tag("problem")] | Annotated[TextSource, Tag("text")], Discriminator(_kind_of_source)
]


class SourcedData(Strict):
    """Data that others published: sources of problems and texts, and benchmarks of lm-eval by name."""

    kind: Literal["sources"]
    sources: dict[str, Source] = Field(min_length=1, description="source name -> where it comes from, how it reads")
    benchmarks: dict[str, Benchmark] = Field(min_length=1, description="lm-eval task -> its data set and metric")
    problems: str | None = Field(None, description="source of the problems that SFT and RL train on")
    chat: bool = Field(True, description="whether problems go through the tokenizer's chat template")
    teacher: Teacher | None = Field(
        None, description="writes the completions that SFT learns; none: the source of the problems has them"
    )


Data = Annotated[OrganismData | SourcedData, Field(discriminator="kind")]


def _kind_of_evaluation(value: Any) -> str:
    if not isinstance(value, dict):
        return "benchmarks" if isinstance(value, BenchmarkEvaluation) else "organism"
    return "benchmarks" if "backend" in value else "organism"


AnyEvaluation = Annotated[
    Annotated[Evaluation, Tag("organism")] | Annotated[BenchmarkEvaluation, Tag("benchmarks")],
    Discriminator(_kind_of_evaluation),
]


class DrawProblems(Strict):
    """The slice that `scripts/draw_problems.py` receives."""

    seed: int = Field(ge=0)
    examples: int = Field(ge=1, description="as many as the longest training takes")
    completions: bool = Field(description="whether some model learns from completions (SFT)")
