"""Varied sets on shipped tasks: apart, so that the organism needs no lm-eval."""

from rlgen.extended.settings import VaryingSets
from rlgen.interventions.benchmarks import OnBenchmarks


class VarySetsBenchmarks(OnBenchmarks, VaryingSets):
    """The slice that `scripts/extended/vary_sets_benchmarks.py` receives."""
