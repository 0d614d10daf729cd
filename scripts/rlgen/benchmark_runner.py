"""Running edited models on shipped tasks: what `rlgen.experiment.Runner` is for the organism, memory bounded."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel

from rlgen.benchmark_evaluators import BenchmarkEvaluator
from rlgen.benchmark_reading import BenchmarkGoal
from rlgen.experiment import Condition, condition_table
from rlgen.generation import Hook
from rlgen.intervene import Edits, apply
from rlgen.progress import Progress


class BenchmarkRunner:
    """Scores conditions of one running model at one layer."""

    def __init__(self, model: PreTrainedModel, evaluator: BenchmarkEvaluator, layer: int, everywhere: bool) -> None:
        self.model, self.evaluator, self.layer, self.everywhere = model, evaluator, layer, everywhere
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
        condition_R = torch.arange(len(conditions)).repeat_interleave(len(samples))
        hook_for = None if edits is None else lambda index_B: self._hook(edits, condition_R, index_B)
        progress = Progress("interventions", len(rows_R), "completions")
        scores = self.evaluator.score(self.model, rows_R, hook_for, progress, goal)
        return condition_table(conditions, [self.evaluator.samples[i] for i in samples], scores, scores.kl_B)

    def distances(self, conditions: int, edits: Edits, samples: Sequence[int], goal: BenchmarkGoal) -> np.ndarray:
        """KL(goal || edited model) of every condition on every sample, nats (C, I); nothing is generated."""
        rows_R = torch.tensor(samples).repeat(conditions)
        condition_R = torch.arange(conditions).repeat_interleave(len(samples))
        hook_for = lambda index_B: self._hook(edits, condition_R, index_B)  # noqa: E731
        kl_R = self.evaluator.distances(self.model, rows_R, hook_for, goal)
        return kl_R.view(conditions, len(samples)).numpy()

    def stream_on_goal(self, samples: Sequence[int], goal: BenchmarkGoal) -> torch.Tensor:
        """This model's unedited stream at the goal's completion positions of some samples, raw units (N, d)."""
        return self.evaluator.stream_on(self.model, goal, samples, self.layer)

    def _hook(self, edits: Edits, condition_R: torch.Tensor, index_B: torch.Tensor) -> Hook:
        condition_B = condition_R[index_B.cpu()].to(index_B.device)
        return Hook(apply(edits.take(condition_B)), self.layer, self.everywhere)
