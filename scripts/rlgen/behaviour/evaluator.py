"""Behaviour of one model on the evaluation tasks: accuracy, format-blind accuracy and graded scores per sample."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import Field
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.behaviour.settings import Evaluation
from rlgen.models.drafts import Draft
from rlgen.models.generation import AnswerWatch, Limits, Prompts, generate
from rlgen.models.hooks import Hook
from rlgen.progress import Progress
from rlgen.strict import Strict
from rlgen.tasks.answers import final_answer
from rlgen.tasks.samples import Sample

SeeLogits = Callable[[torch.Tensor, torch.Tensor], None]  # places of a batch, next-token logits (B, L, V) on the draft
SCORE_TENSORS = ("correct_B", "format_blind_B", "answer_logprob_B", "length_B")


class EvaluateModel(Strict):
    """The slice that `scripts/behaviour/evaluate_model.py` receives."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    model: str
    states: list[str] = Field(min_length=1, description="labels of all checkpoints, in order: rl@1 ... rl")
    evaluation: Evaluation


@dataclass
class Scores:
    """Per-sample results of one model (or edited model) on B samples; tensors of shape (B,)."""

    completions: list[str]
    correct_B: torch.Tensor
    format_blind_B: torch.Tensor
    answer_logprob_B: torch.Tensor
    length_B: torch.Tensor


def by_length(length_R: torch.Tensor) -> torch.Tensor:
    """An order of rows, short texts first, that leaves rows of about the same length (steps of 4) as they are."""
    return ((length_R + 3) // 4).argsort(stable=True)


class Evaluator:
    """Scores models on a fixed list of samples: tokenizes once, then one call per model or edit."""

    def __init__(
        self,
        samples: list[Sample],
        tokenizer: PreTrainedTokenizerFast,
        max_new_tokens: int,
        marker: str,
        batch_size: int,
    ) -> None:
        self.samples, self.tokenizer, self.marker = samples, tokenizer, marker
        self.max_new_tokens, self.batch_size = max_new_tokens, batch_size
        self._first_ids: dict[str, int] = {}  # samples share their words, and a call of the tokenizer takes long
        self.marker_id = self._id(marker)
        self.prompts = Prompts.encode(tokenizer, [s.prompt for s in samples])
        self.answer_B = torch.tensor([self._id(s.answer) for s in samples])
        self.choice_BV = torch.zeros(len(samples), len(tokenizer), dtype=torch.bool)
        for row, sample in enumerate(samples):
            self.choice_BV[row, [self._id(choice) for choice in sample.choices]] = True

    def _id(self, word: str) -> int:
        if word not in self._first_ids:
            self._first_ids[word] = self.tokenizer(word, add_special_tokens=False)["input_ids"][0]
        return self._first_ids[word]

    def score(
        self,
        model: PreTrainedModel,
        rows_R: torch.Tensor | None = None,
        hook: Hook | None = None,
        progress: Progress | None = None,
        prompts: Prompts | None = None,
        drafts: tuple[Draft, ...] = (),
        see: SeeLogits | None = None,
    ) -> Scores:
        """Greedy completions and all scores of samples rows_R (default: each once; repeats allowed).

        `hook` is that of rows_R: many edits of the same samples run side by side along the batch axis. `prompts` are
        this evaluator's with the model's prefix. Completions that begin with a text of `drafts` (one, or a second
        choice) are not written token by token; `see` is handed the first one's logits. Drafts of about the same length
        share a batch.
        """
        rows_R = torch.arange(len(self.samples)) if rows_R is None else rows_R
        prompts, parts, done = prompts or self.prompts.with_prefix(model), [], 0
        order_R = torch.arange(len(rows_R)) if not drafts else by_length(drafts[0].length_N[rows_R])
        for index_B in order_R.split(self.batch_size):
            part = hook and hook.take(index_B)
            parts.append(self._score_batch(model, prompts, rows_R[index_B], index_B, part, drafts, see))
            done += len(index_B)
            if progress is not None:
                progress.update(done)
        place_R = order_R.argsort()
        texts = [text for part in parts for text in part.completions]
        return Scores(
            [texts[place] for place in place_R.tolist()],
            *(torch.cat([getattr(part, f) for part in parts])[place_R] for f in SCORE_TENSORS),
        )

    def table(self, scores: Scores) -> dict[str, list]:
        """Columns of the per-sample table of one run over all samples, each sample once."""
        named = {name: [getattr(s, name) for s in self.samples] for name in ("task", "role", "half", "sample")}
        return named | {
            "correct": scores.correct_B.tolist(),
            "format_blind": scores.format_blind_B.tolist(),
            "answer_logprob": scores.answer_logprob_B.tolist(),
            "completion": scores.completions,
            "length": scores.length_B.tolist(),
        }

    def _score_batch(
        self,
        model: PreTrainedModel,
        all_prompts: Prompts,
        rows_B: torch.Tensor,
        index_B: torch.Tensor,
        hook: Hook | None,
        drafts: tuple[Draft, ...],
        see: SeeLogits | None,
    ) -> Scores:
        prompts, limits = all_prompts.take(rows_B), Limits.of(self.tokenizer, self.max_new_tokens)
        watch = AnswerWatch(self.marker_id, len(rows_B), len(self.tokenizer), prompts.ids_BP.device)
        if not drafts:
            ids_BN = generate(model, prompts, limits, hook, watch=watch)
        else:
            if hook is not None and hook.everywhere:
                prompts = prompts.with_prefix(model, hook)
            ids_BN, logits_BTV = drafts[0].complete(model, prompts, rows_B, limits, hook, watch, *drafts[1:])
            if see is not None:
                see(index_B, logits_BTV[:, :-1])
        return self._scores(rows_B, ids_BN.cpu(), watch.logprob_BV.cpu())

    def _scores(self, rows_B: torch.Tensor, ids_BN: torch.Tensor, logprob_BV: torch.Tensor) -> Scores:
        """Scores of completions and of the log-probabilities right after their markers."""
        texts = self.tokenizer.batch_decode(ids_BN, skip_special_tokens=True)
        answers = [self.samples[row].answer for row in rows_B.tolist()]
        best_B = logprob_BV.masked_fill(~self.choice_BV[rows_B], -torch.inf).argmax(-1)
        answer_B = self.answer_B[rows_B]
        return Scores(
            completions=texts,
            correct_B=torch.tensor([final_answer(t, self.marker) == a for t, a in zip(texts, answers, strict=True)]),
            format_blind_B=best_B == answer_B,
            answer_logprob_B=logprob_BV.gather(1, answer_B[:, None]).squeeze(1),
            length_B=(ids_BN != self.tokenizer.pad_token_id).sum(-1),
        )
