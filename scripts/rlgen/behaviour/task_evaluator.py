"""Scoring the samples of one shipped task, a few at a time, all conditions of a sample together.

What serves all conditions of a sample, the prompt's keys and values and what the blocks up to the edit make of a text,
is computed once and let go with the sample, so that memory does not grow with their number.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.behaviour.continuations import Ids, prompts_of
from rlgen.behaviour.evaluator import Scores
from rlgen.behaviour.reading import BenchmarkGoal, Reading
from rlgen.models.generation import Prompts
from rlgen.models.head import output_head
from rlgen.models.hooks import Hook
from rlgen.models.passes import Padding, passes_on
from rlgen.tasks.shipped import BenchmarkTask


@dataclass
class BenchmarkScores(Scores):
    """As Scores, with the distance from the goal, nats (B,); NaN without one."""

    kl_B: torch.Tensor

    @classmethod
    def empty(cls, rows: int) -> "BenchmarkScores":
        """Room for some rows."""
        wrong_B, nan_B = torch.zeros(rows, dtype=torch.bool), torch.full((rows,), torch.nan)
        return cls([""] * rows, wrong_B, wrong_B.clone(), nan_B, torch.zeros(rows, dtype=torch.long), nan_B.clone())

    def fill(self, places: Sequence[int], part: "BenchmarkScores") -> None:
        """Put scores of some rows in their places."""
        for place, text in zip(places, part.completions, strict=True):
            self.completions[place] = text
        for name in ("correct_B", "format_blind_B", "answer_logprob_B", "length_B", "kl_B"):
            getattr(self, name)[list(places)] = getattr(part, name)


class TaskEvaluator(ABC):
    """Scores models on the samples of one task: tokenizes once, then one call per model or set of edits."""

    samples_per_batch: int

    def __init__(self, task: BenchmarkTask, tokenizer: PreTrainedTokenizerFast, batch_size: int) -> None:
        self.task, self.samples, self.tokenizer, self.batch_size = task, task.samples, tokenizer, batch_size
        self.prompt_ids: list[Ids] = []
        self.padding = Padding(f"prompts and texts of {task.name}")

    @property
    @abstractmethod
    def longest(self) -> int:
        """Tokens of the longest prompt with its text."""

    @abstractmethod
    def own_texts(self, model: PreTrainedModel, prompts: Prompts, samples: list[int]) -> list[Ids]:
        """The model's own text after some prompts, at least one token each."""

    @abstractmethod
    def responses(
        self, model: PreTrainedModel, prompts: Prompts, samples: list[int], own_R: torch.Tensor, hook: Hook | None
    ) -> list[list]:
        """What the task judges, for rows own_R (places in `samples`): choices' log-likelihoods, or a text.

        `hook` is that of the rows, here and below.
        """

    @abstractmethod
    def scores(
        self, model: PreTrainedModel, prompts: Prompts, rows: list[int], own_R: torch.Tensor, found: list[list], hook
    ) -> BenchmarkScores:
        """Scores of rows (samples of the task) from their responses."""

    def score(
        self,
        model: PreTrainedModel,
        rows_R: torch.Tensor | None = None,
        hook: Hook | None = None,
        seen: Callable[[int], None] = lambda done: None,
        goal: BenchmarkGoal | None = None,
    ) -> BenchmarkScores:
        """All scores of samples rows_R (default: each once; repeats allowed), and the distance from a goal.

        `hook` is that of rows_R; `seen` is told how many are done.
        """
        rows = list(range(len(self.samples))) if rows_R is None else rows_R.tolist()
        scores, done = BenchmarkScores.empty(len(rows)), 0
        for samples, places in self._batches(rows):
            prompts = self._prompts(model, samples)
            own_R = torch.tensor([samples.index(rows[place]) for place in places], device=model.device)
            own = hook and hook.take(torch.tensor(places))
            found = self.responses(model, prompts, samples, own_R, own)
            part = self.scores(model, prompts, [rows[place] for place in places], own_R, found, own)
            if goal is not None:
                part.kl_B = self._kl(model, prompts, goal.some(samples), own_R, own)
            scores.fill(places, part)
            seen(done := done + len(places))
        self.padding.tell()
        return scores

    def distances(self, model: PreTrainedModel, rows_R: torch.Tensor, hook: Hook, goal: BenchmarkGoal) -> torch.Tensor:
        """Distance of rows from a goal on the goal's text, nats (R,); nothing is generated or ranked."""
        rows, kl_R = rows_R.tolist(), torch.full((len(rows_R),), torch.nan)
        for samples, places in self._batches(rows):
            own_R = torch.tensor([samples.index(rows[place]) for place in places], device=model.device)
            own = hook.take(torch.tensor(places))
            kl_R[places] = self._kl(model, self._prompts(model, samples), goal.some(samples), own_R, own)
        return kl_R

    def goal(self, model: PreTrainedModel, completion_tokens: int) -> BenchmarkGoal:
        """This model's own behaviour, as a goal for edits of others."""
        goal = BenchmarkGoal([[] for _ in self.samples], [torch.empty(0)] * len(self.samples), output_head(model))
        for samples, _ in self._batches(range(len(self.samples))):
            prompts = self._prompts(model, samples)
            texts = [ids[:completion_tokens] for ids in self.own_texts(model, prompts, samples)]
            reading = Reading.of(model, prompts, [[ids] for ids in texts], 0, self.batch_size)
            hidden_STd = reading.hidden(model, torch.arange(len(samples), device=model.device), None)[0]
            for i, ids, h_Td in zip(samples, texts, hidden_STd, strict=True):
                goal.texts[i], goal.hidden[i] = ids, h_Td[: len(ids)].cpu()
        self.padding.tell()
        return goal

    def stream_on(
        self, model: PreTrainedModel, goal: BenchmarkGoal, chosen: Sequence[int], layer: int
    ) -> dict[int, torch.Tensor]:
        """Per sample, the model's stream at the goal's completion positions, raw units, float32 (T, d), CPU."""
        found = {}
        for samples, _ in self._batches(chosen):
            texts = [goal.texts[i] for i in samples]
            reading = Reading.of(model, self._prompts(model, samples), [[t] for t in texts], layer, self.batch_size)
            h_STd = reading.draft.h_NTd
            found |= {i: h_Td[: len(t)].float().cpu() for i, t, h_Td in zip(samples, texts, h_STd, strict=True)}
        return found

    def _prompts(self, model: PreTrainedModel, samples: list[int]) -> Prompts:
        return prompts_of([self.prompt_ids[i] for i in samples], model.device, self.padding).with_prefix(model)

    def _batches(self, rows: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
        """A few samples with prompts of about the same length, and the places of all their rows."""
        of: dict[int, list[int]] = {}
        for place, sample in enumerate(rows):
            of.setdefault(sample, []).append(place)
        order = sorted(of, key=lambda i: len(self.prompt_ids[i]))
        for first in range(0, len(order), self.samples_per_batch):
            samples = order[first : first + self.samples_per_batch]
            yield samples, [place for sample in samples for place in of[sample]]

    def _kl(
        self, model: PreTrainedModel, prompts: Prompts, goal: BenchmarkGoal, own_R: torch.Tensor, hook: Hook | None
    ) -> torch.Tensor:
        """Distance of every row from the goal on the goal's text."""
        reading = Reading.of(model, prompts, [[ids] for ids in goal.texts], layer_of(hook), self.batch_size)
        kl_R = torch.empty(len(own_R))
        for part, _ in passes_on(reading.draft.length_N[own_R] + 1, self.padding, self.batch_size):
            kl_R[part.cpu()] = goal.kl(model, reading, own_R[part], hook and hook.take(part)).float()
        return kl_R


def layer_of(hook: Hook | None) -> int:
    """The block after which rows are edited; where none are, any block will do."""
    return 0 if hook is None else hook.layer
