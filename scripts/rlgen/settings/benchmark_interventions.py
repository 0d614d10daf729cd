"""What the scripts that edit published models on benchmarks are told."""

from pydantic import Field

from rlgen.settings.benchmarks import Benchmark, BenchmarkEvaluation
from rlgen.settings.interventions import Editing, Intervening, Steering


class OnBenchmarks(Editing):
    """Which tasks the edited models answer, and how; tasks in the order of their files."""

    benchmarks: dict[str, Benchmark] = Field(min_length=1)
    evaluation: BenchmarkEvaluation


class InterveneBenchmarks(OnBenchmarks, Intervening):
    """The slice that `scripts/intervene_benchmarks.py` receives."""


class SteerBenchmarks(OnBenchmarks, Steering):
    """The slice that `scripts/steer_benchmarks.py` receives."""
