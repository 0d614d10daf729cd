"""Running edited models on the evaluation samples: many conditions side by side, scored row by row."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
import torch
from transformers import PreTrainedModel

from rlgen.evaluation import Evaluator
from rlgen.generation import Hook, Prompts, forced_hidden, generate
from rlgen.intervene import Edits, apply
from rlgen.progress import Progress


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


class Runner:
    """Scores conditions of one running model at one layer."""

    def __init__(self, model: PreTrainedModel, evaluator: Evaluator, layer: int, everywhere: bool) -> None:
        self.model, self.evaluator, self.layer, self.everywhere = model, evaluator, layer, everywhere
        self.prompts = evaluator.prompts.with_prefix(model)

    def goal(self) -> Goal:
        """This model's own behaviour, as a goal for edits of others."""
        e, tokens = self.evaluator, self.evaluator.tokenizer
        batches, texts = torch.arange(len(e.samples)).split(e.batch_size), []
        for rows_B in batches:
            prompts = self.prompts.take(rows_B)
            ids_BN = generate(self.model, prompts, e.max_new_tokens, tokens.eos_token_id, tokens.pad_token_id)
            texts.append(ids_BN)
        longest = max(ids_BN.shape[1] for ids_BN in texts)
        pad = tokens.pad_token_id
        text_NT = torch.cat([torch.nn.functional.pad(t, (0, longest - t.shape[1]), value=pad) for t in texts])
        mask_NT = text_NT != pad
        logprobs = [self._logprobs(self.prompts.take(r), text_NT[r], mask_NT[r], None) for r in batches]
        return Goal(text_NT, mask_NT, torch.cat(logprobs))

    @torch.inference_mode()
    def _logprobs(
        self, prompts: Prompts, text_BT: torch.Tensor, mask_BT: torch.Tensor, hook: Hook | None
    ) -> torch.Tensor:
        """log p of every completion token's position, (B, T, V)."""
        hidden_BTd = forced_hidden(self.model, prompts, text_BT, mask_BT, hook)
        return self.model.lm_head(hidden_BTd[:, :-1]).float().log_softmax(-1)

    def run(
        self, conditions: Sequence[Condition], edits: Edits | None, samples: Sequence[int], goal: Goal | None = None
    ) -> pd.DataFrame:
        """One row per (condition, sample); `edits` holds the conditions in the same order, None edits nothing.

        kl = mean over the goal's completion tokens of KL(goal || edited model), nats, where a goal is given.
        """
        n, c = len(samples), len(conditions)
        rows_R = torch.tensor(samples).repeat(c)
        condition_R = torch.arange(c).repeat_interleave(n)
        hook_for = None if edits is None else lambda index_B: self._hook(edits, condition_R[index_B])
        scores = self.evaluator.score(
            self.model, rows_R, hook_for, Progress("interventions", len(rows_R), "completions")
        )
        chosen = [self.evaluator.samples[i] for i in samples]
        table = pd.DataFrame(
            {
                "set": [condition.set for condition in conditions for _ in samples],
                "dose": [float(condition.dose) for condition in conditions for _ in samples],
                "task": [s.task for s in chosen] * c,
                "role": [s.role for s in chosen] * c,
                "half": [s.half for s in chosen] * c,
                "sample": [s.sample for s in chosen] * c,
                "correct": scores.correct_B.numpy(),
                "format_blind": scores.format_blind_B.numpy(),
                "answer_logprob": scores.answer_logprob_B.numpy(),
                "kl": float("nan") if goal is None else self._kl(rows_R, condition_R, edits, goal).numpy(),
            }
        )
        for key in dict.fromkeys(key for condition in conditions for key in condition.facts):
            table[key] = [condition.facts.get(key, float("nan")) for condition in conditions for _ in samples]
        return table

    def stream_on_goal(self, samples: Sequence[int], goal: Goal) -> torch.Tensor:
        """This model's unedited stream at the goal's completion positions of some samples, raw units (N, d)."""
        seen, kept = [], []

        def see(h_BTd: torch.Tensor) -> torch.Tensor:
            seen.append(h_BTd)
            return h_BTd

        for rows_B in torch.tensor(samples).split(self.evaluator.batch_size):
            prompts, mask_BT = self.prompts.take(rows_B), goal.mask_NT[rows_B]
            forced_hidden(self.model, prompts, goal.text_NT[rows_B], mask_BT, Hook(see, self.layer))
            kept.append(seen.pop()[:, :-1][mask_BT])
        return torch.cat(kept)

    def _hook(self, edits: Edits, condition_B: torch.Tensor) -> Hook:
        return Hook(apply(edits.take(condition_B)), self.layer, self.everywhere)

    @torch.inference_mode()
    def _kl(self, rows_R: torch.Tensor, condition_R: torch.Tensor, edits: Edits | None, goal: Goal) -> torch.Tensor:
        parts = []
        for index_B in torch.arange(len(rows_R)).split(self.evaluator.batch_size):
            rows_B = rows_R[index_B]
            hook = None if edits is None else self._hook(edits, condition_R[index_B])
            mask_BT, goal_BTV = goal.mask_NT[rows_B], goal.logprob_NTV[rows_B]
            edited_BTV = self._logprobs(self.prompts.take(rows_B), goal.text_NT[rows_B], mask_BT, hook)
            kl_BT = (goal_BTV.exp() * (goal_BTV - edited_BTV)).sum(-1)
            parts.append((kl_BT * mask_BT).sum(-1) / mask_BT.sum(-1))
        return torch.cat(parts)
