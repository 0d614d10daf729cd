"""Running edited models on shipped tasks, memory bounded: what `runner` and `subjects` are for the organism."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from transformers import PreTrainedModel

from rlgen.behaviour.benchmarks import BenchmarkEvaluator
from rlgen.behaviour.lm_eval import read_tasks
from rlgen.behaviour.reading import BenchmarkGoal
from rlgen.behaviour.settings import BenchmarkEvaluation
from rlgen.interventions.edits import Edits
from rlgen.interventions.runner import Condition, Running, condition_table
from rlgen.interventions.settings import Editing, Intervening, Steering
from rlgen.models.checkpoints import load_model, load_tokenizer
from rlgen.progress import Progress
from rlgen.tasks.samples import Sample
from rlgen.tasks.settings import Benchmark


class OnBenchmarks(Editing):
    """Which tasks the edited models answer, and how; tasks in the order of their files."""

    benchmarks: dict[str, Benchmark] = Field(min_length=1)
    evaluation: BenchmarkEvaluation


class InterveneBenchmarks(OnBenchmarks, Intervening):
    """The slice that `scripts/interventions/intervene_benchmarks.py` receives."""


class ExportEditBenchmarks(InterveneBenchmarks):
    """The slice that `scripts/interventions/export_edit_benchmarks.py` receives."""

    set: str = Field(description="name in the procedure's table of interventions")


class SteerBenchmarks(OnBenchmarks, Steering):
    """The slice that `scripts/interventions/steer_benchmarks.py` receives."""


class BenchmarkRunner(Running):
    """Scores conditions of one running model at one layer."""

    def __init__(self, model: PreTrainedModel, evaluator: BenchmarkEvaluator, layer: int, everywhere: bool) -> None:
        super().__init__(model, layer, everywhere)
        self.evaluator = evaluator
        evaluator.check_context(model.config.max_position_embeddings)

    def goal(self) -> BenchmarkGoal:
        """This model's own behaviour, as a goal for edits of others."""
        return self.evaluator.goal(self.model)

    def run(
        self,
        conditions: Sequence[Condition],
        edits: Edits | None,
        samples: Sequence[int],
        goal: BenchmarkGoal | None = None,
    ) -> pd.DataFrame:
        """One row per (condition, sample); `edits` holds the conditions in the same order, None edits nothing.

        kl = mean over the goal's first completion tokens of KL(goal || edited model), nats, where a goal is given.
        """
        rows_R = torch.tensor(samples).repeat(len(conditions))
        hook = None if edits is None else self.hook(edits, len(conditions), len(samples))
        progress = Progress("interventions", len(rows_R), "completions")
        scores = self.evaluator.score(self.model, rows_R, hook, progress, goal)
        return condition_table(conditions, [self.evaluator.samples[i] for i in samples], scores, scores.kl_B)

    def distances(self, conditions: int, edits: Edits, samples: Sequence[int], goal: BenchmarkGoal) -> np.ndarray:
        """KL(goal || edited model) of every condition on every sample, nats (C, I); nothing is generated."""
        rows_R = torch.tensor(samples).repeat(conditions)
        hook = self.hook(edits, conditions, len(samples))
        kl_R = self.evaluator.distances(self.model, rows_R, hook, goal)
        return kl_R.view(conditions, len(samples)).numpy()

    def stream_on_goal(self, samples: Sequence[int], goal: BenchmarkGoal) -> torch.Tensor:
        """This model's unedited stream at the goal's completion positions of some samples, raw units (N, d)."""
        return self.evaluator.stream_on(self.model, goal, samples, self.layer)


class BenchmarkBench:
    """What `rlgen.interventions.runs.Bench` is for the organism."""

    def __init__(
        self,
        cfg: OnBenchmarks,
        folders: dict[str, Path],
        samples: list[Sample],
        docs: list[Path],
        device: torch.device,
    ) -> None:
        self.cfg, self.folders, self.device, e = cfg, folders, device, cfg.evaluation
        tasks, tokenizer = read_tasks(samples, docs, cfg.benchmarks, e), load_tokenizer(folders[cfg.reference])
        self.evaluator = BenchmarkEvaluator(tasks, tokenizer, e.batch_size, e.max_new_tokens, e.completion_tokens)
        self.samples = self.evaluator.samples
        self.goals: dict[str, BenchmarkGoal] = {}

    def runner(self, state: str) -> BenchmarkRunner:
        """A runner of one model state."""
        model = load_model(self.folders[state], self.device)
        return BenchmarkRunner(model, self.evaluator, self.cfg.layer, self.cfg.positions == "all")

    def goal(self, state: str) -> BenchmarkGoal:
        """The behaviour of one model state, as a goal."""
        if state not in self.goals:
            self.goals[state] = self.runner(state).goal()
        return self.goals[state]
