"""The bench of interventions on shipped tasks: published models on the device, each loaded when it is needed."""

from pathlib import Path

import torch

from rlgen.benchmark_evaluation import read_tasks
from rlgen.benchmark_evaluators import BenchmarkEvaluator
from rlgen.benchmark_reading import BenchmarkGoal
from rlgen.benchmark_runner import BenchmarkRunner
from rlgen.models import load_model, load_tokenizer
from rlgen.samples import Sample
from rlgen.settings.benchmark_interventions import OnBenchmarks


class BenchmarkBench:
    """What `rlgen.intervention_runs.Bench` is for the organism."""

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
