"""Running edited models on the evaluation samples: many conditions side by side, scored row by row."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import pad
from transformers import PreTrainedModel

from rlgen.behaviour.evaluator import Evaluator, Scores, by_length
from rlgen.interventions.edits import Edits
from rlgen.models.drafts import Draft
from rlgen.models.generation import Limits, generate
from rlgen.models.hooks import Hook
from rlgen.progress import Progress
from rlgen.tasks.samples import Sample


@dataclass(frozen=True)
class Condition:
    """One row of the condition table: the name of its set and its dose, and what else is known about it."""

    set: str
    dose: float
    facts: dict[str, float | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Goal:
    """The model whose behaviour is to be reached, on its own greedy completions of all samples.

    text_NT and mask_NT: its completions padded on the right; logprob_NTV: its next-token log-probabilities at the
    positions that predict them.
    """

    text_NT: torch.Tensor
    mask_NT: torch.Tensor
    logprob_NTV: torch.Tensor


class Running:
    """A model that runs conditions side by side, edited at one layer."""

    def __init__(self, model: PreTrainedModel, layer: int, everywhere: bool) -> None:
        self.model, self.layer, self.everywhere = model, layer, everywhere

    def hook(self, edits: Edits, conditions: int, samples: int) -> Hook:
        """That of all rows (condition, sample), samples varying fastest. The edits go to the model's device here."""
        device = self.model.device
        condition_R = torch.arange(conditions, device=device).repeat_interleave(samples)
        return Hook(edits.on(device), self.layer, self.everywhere, condition_R)


class Runner(Running):
    """Scores conditions of one running model at one layer."""

    def __init__(self, model: PreTrainedModel, evaluator: Evaluator, layer: int, everywhere: bool) -> None:
        super().__init__(model, layer, everywhere)
        self.evaluator = evaluator
        self.prompts = evaluator.prompts.with_prefix(model)
        self._read: tuple[Goal, Draft] | None = None  # the last goal and what this model makes of its text

    @cached_property
    def unedited(self) -> Draft:
        """This model's own completions of all samples: what most weak edits leave alone."""
        e = self.evaluator
        limits = Limits.of(e.tokenizer, e.max_new_tokens)
        batches = torch.arange(len(e.samples)).split(e.batch_size)
        texts = [generate(self.model, self.prompts.take(rows_B), limits) for rows_B in batches]
        longest = max(ids_BN.shape[1] for ids_BN in texts)
        text_NL = torch.cat([pad(t, (0, longest - t.shape[1]), value=limits.pad_id) for t in texts])
        return self._draft(text_NL, (text_NL != limits.pad_id).sum(1))

    def goal(self, text: Goal | None = None) -> Goal:
        """This model's own behaviour, as a goal for edits of others: on its own text or on another model's."""
        draft, e = self.unedited if text is None else self.on_goal(text), self.evaluator
        mask_NT = torch.arange(draft.text_NL.shape[1]) < draft.length_N[:, None]
        logprobs = []
        for rows_B in torch.arange(len(e.samples)).split(e.batch_size):
            logits_BTV, _ = draft.check(self.model, self.prompts.take(rows_B), rows_B, None)
            missing = mask_NT.shape[1] + 1 - logits_BTV.shape[1]  # columns after the batch's longest text
            logprobs.append(pad(logits_BTV[:, :-1].float().log_softmax(-1), (0, 0, 0, missing)))
        return Goal(draft.text_NL, mask_NT, torch.cat(logprobs))

    def on_goal(self, goal: Goal) -> Draft:
        """What this model makes of the goal's text, as long as it stays the goal."""
        if self._read is None or self._read[0] is not goal:
            self._read = (goal, self._draft(goal.text_NT, goal.mask_NT.sum(1)))
        return self._read[1]

    def _draft(self, text_NL: torch.Tensor, length_N: torch.Tensor) -> Draft:
        return Draft.read(self.model, self.prompts, text_NL, length_N, self.layer, self.evaluator.batch_size)

    def run(
        self, conditions: Sequence[Condition], edits: Edits | None, samples: Sequence[int], goal: Goal | None = None
    ) -> pd.DataFrame:
        """One row per (condition, sample); `edits` holds the conditions in the same order, None edits nothing.

        kl = mean over the goal's completion tokens of KL(goal || edited model), nats, where a goal is given.
        """
        n, c = len(samples), len(conditions)
        rows_R = torch.tensor(samples).repeat(c)
        hook = None if edits is None else self.hook(edits, c, n)
        kl_R = torch.full((len(rows_R),), torch.nan)

        def see(index_B: torch.Tensor, logits_BTV: torch.Tensor) -> None:
            kl_R[index_B] = kl_from_goal(goal, rows_R[index_B], logits_BTV)

        scores = self.evaluator.score(
            self.model,
            rows_R,
            hook,
            Progress("interventions", len(rows_R), "completions"),
            self.prompts,
            (self.unedited,) if goal is None else (self.on_goal(goal), self.unedited),
            None if goal is None else see,
        )
        return condition_table(conditions, [self.evaluator.samples[i] for i in samples], scores, kl_R)

    @torch.inference_mode()
    def distances(self, conditions: int, edits: Edits, samples: Sequence[int], goal: Goal) -> np.ndarray:
        """KL(goal || edited model) of every condition on every sample, nats (C, I); nothing is decoded."""
        rows_R, draft = torch.tensor(samples).repeat(conditions), self.on_goal(goal)
        every = self.hook(edits, conditions, len(samples))
        kl_R = torch.full((len(rows_R),), torch.nan)
        for index_B in by_length(draft.length_N[rows_R]).split(self.evaluator.batch_size):
            hook, rows_B = every.take(index_B), rows_R[index_B]
            prompts = self.prompts.take(rows_B)
            prompts = prompts.with_prefix(self.model, hook) if self.everywhere else prompts
            logits_BTV, _ = draft.check(self.model, prompts, rows_B, hook)
            kl_R[index_B] = kl_from_goal(goal, rows_B, logits_BTV[:, :-1])
        return kl_R.view(conditions, len(samples)).numpy()

    def stream_on_goal(self, samples: Sequence[int], goal: Goal) -> torch.Tensor:
        """This model's unedited stream at the goal's completion positions of some samples, raw units (N, d)."""
        return self.on_goal(goal).h_NTd[samples][:, :-1][goal.mask_NT[samples]]


def condition_table(
    conditions: Sequence[Condition], chosen: Sequence[Sample], scores: Scores, kl_R: torch.Tensor
) -> pd.DataFrame:
    """One row per (condition, sample), samples varying fastest, of rows scored in that order."""
    c = len(conditions)
    table = pd.DataFrame(
        {
            "set": [condition.set for condition in conditions for _ in chosen],
            "dose": [float(condition.dose) for condition in conditions for _ in chosen],
            "task": [s.task for s in chosen] * c,
            "role": [s.role for s in chosen] * c,
            "half": [s.half for s in chosen] * c,
            "sample": [s.sample for s in chosen] * c,
            "correct": scores.correct_B.numpy(),
            "format_blind": scores.format_blind_B.numpy(),
            "answer_logprob": scores.answer_logprob_B.numpy(),
            "kl": kl_R.numpy(),
        }
    )
    for key in dict.fromkeys(key for condition in conditions for key in condition.facts):
        table[key] = [condition.facts.get(key, float("nan")) for condition in conditions for _ in chosen]
    return table


@torch.inference_mode()
def kl_from_goal(goal: Goal, rows_B: torch.Tensor, logits_BTV: torch.Tensor) -> torch.Tensor:
    """Mean over a sample's goal tokens of KL(goal || model), nats (B,); the logits predict those tokens.

    T is the longest text of the batch: what the goal holds beyond it is padding.
    """
    mask_BT, goal_BTV = (x[rows_B, : logits_BTV.shape[1]] for x in (goal.mask_NT, goal.logprob_NTV))
    kl_BT = (goal_BTV.exp() * (goal_BTV - logits_BTV.float().log_softmax(-1))).sum(-1)
    return (kl_BT * mask_BT).sum(-1) / mask_BT.sum(-1)
