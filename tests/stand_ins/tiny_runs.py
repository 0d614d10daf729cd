"""A handful of prompts and random completions, for tests of edits inside generation; nothing here is trained."""

import copy
from functools import cache

import numpy as np
import torch

from rlgen.activations.completions import Completions
from rlgen.behaviour.evaluator import Evaluator
from rlgen.interventions.runner import Runner
from rlgen.organism.settings import Split
from rlgen.organism.tasks import evaluation_samples
from rlgen.tasks.samples import Sample

MARKER, LAYER, N = ";", 1, 6
ROLES = {"add": "in_domain", "max": "selection", "par": "unseen"}


@cache
def samples() -> list[Sample]:
    """Two prompts of every task in each half, discovery first within a task."""
    return [s for task, role in ROLES.items() for s in evaluation_samples(task, role, 2, "tests", Split())]


def evaluator(tokenizer, batch_size: int = 100) -> Evaluator:
    """Scores the samples above."""
    return Evaluator(samples(), tokenizer, N, MARKER, batch_size)


def runner(model, tokenizer, batch_size: int = 100, everywhere: bool = False) -> Runner:
    """Edits `model` at one layer."""
    return Runner(model, evaluator(tokenizer, batch_size), LAYER, everywhere)


def relative(model, seed: int = 0, size: float = 0.2):
    """A copy of a model, its weights moved at random by a share of their size: stands for a tuned model."""
    other, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(size * parameter.std() * torch.randn(parameter.shape, generator=generator))
    return other


def completions(seed: int, d: int, positions: int = 3, per_task: int = 4) -> Completions:
    """Random streams of `per_task` samples of every task, `positions` tokens each."""
    generator, n = torch.Generator().manual_seed(seed), positions * per_task * len(ROLES)
    reference_Nd, shift_Nd = (torch.randn(n, d, generator=generator) for _ in range(2))
    sample_N = torch.arange(n) // positions
    samples = per_task * len(ROLES)
    return Completions(
        reference_Nd,
        reference_Nd + 0.5 + 0.3 * shift_Nd,
        sample_N,
        torch.arange(n) % positions,
        [f"sample{i}" for i in range(samples)],
        list(ROLES),
        ROLES,
        np.arange(samples) // per_task,
        np.zeros(samples, dtype=bool),
        np.ones(samples, dtype=bool),
    )


def task_names(data: Completions) -> list[str]:
    """Task of every position."""
    return [data.tasks[data.sample_task_I[sample]] for sample in data.sample_N.tolist()]
