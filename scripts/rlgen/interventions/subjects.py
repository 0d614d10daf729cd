"""The models of one job of interventions: what runs a state, and each state's behaviour as a goal."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import Field

from rlgen.behaviour.evaluator import Evaluator
from rlgen.behaviour.settings import Evaluation
from rlgen.interventions.runner import Goal, Runner
from rlgen.interventions.settings import Intervening, Steering
from rlgen.models.checkpoints import load_model, load_tokenizer
from rlgen.tasks.samples import Sample

if TYPE_CHECKING:
    from rlgen.behaviour.reading import BenchmarkGoal
    from rlgen.interventions.benchmarks import BenchmarkRunner


class Intervene(Intervening):
    """The slice that `scripts/interventions/intervene.py` receives."""

    evaluation: Evaluation


class ExportEdit(Intervene):
    """The slice that `scripts/interventions/export_edit.py` receives."""

    set: str = Field(description="name in the procedure's table of interventions")


class Steer(Steering):
    """The slice that `scripts/interventions/steer.py` receives."""

    evaluation: Evaluation


class Bench(Protocol):
    """The models of one job on the same samples: what runs a state, and each state's behaviour as a goal."""

    samples: list[Sample]

    def runner(self, state: str, header: str | None = None) -> "Runner | BenchmarkRunner": ...

    def goal(self, state: str) -> "Goal | BenchmarkGoal": ...


class OrganismBench:
    """Bench of the organism's models and tasks."""

    def __init__(self, cfg: Intervene | Steer, folders: dict[str, Path], samples: list[Sample]) -> None:
        self.cfg, self.folders, self.samples = cfg, folders, samples
        tokenizer = load_tokenizer(folders[cfg.reference])
        e = cfg.evaluation
        self.evaluator = Evaluator(samples, tokenizer, e.max_new_tokens, e.answer_marker, e.batch_size)
        self.goals: dict[str, Goal] = {}

    def runner(self, state: str, header: str | None = None) -> Runner:
        """A runner of one model state, on prompts with a word in front of each where one is given."""
        evaluator = self.evaluator if header is None else self._headed(header)
        return Runner(load_model(self.folders[state]), evaluator, self.cfg.layer, self.cfg.positions == "all")

    def _headed(self, header: str) -> Evaluator:
        """Scores the same samples, still called by the ids of their own prompts."""
        e, samples = self.evaluator, [replace(s, prompt=f"{header} {s.prompt}") for s in self.samples]
        return Evaluator(samples, e.tokenizer, e.max_new_tokens, e.marker, e.batch_size)

    def goal(self, state: str) -> Goal:
        """The behaviour of one model state, as a goal."""
        if state not in self.goals:
            self.goals[state] = self.runner(state).goal()
        return self.goals[state]
