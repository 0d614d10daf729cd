"""Behaviour of one model on the evaluation tasks: accuracy, format-blind accuracy and graded scores per sample."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.answers import final_answer
from rlgen.generation import AnswerWatch, Hook, Prompts, forced_hidden, generate
from rlgen.progress import Progress
from rlgen.samples import Sample

SCORE_TENSORS = ("correct_B", "format_blind_B", "answer_logprob_B", "length_B")


@dataclass
class Scores:
    """Per-sample results of one model (or edited model) on B samples; tensors of shape (B,)."""

    completions: list[str]
    correct_B: torch.Tensor
    format_blind_B: torch.Tensor
    answer_logprob_B: torch.Tensor
    length_B: torch.Tensor


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
        self.marker_id = self._id(marker)
        self.prompts = Prompts.encode(tokenizer, [s.prompt for s in samples])
        self.answer_B = torch.tensor([self._id(s.answer) for s in samples])
        self.choice_BV = torch.zeros(len(samples), len(tokenizer), dtype=torch.bool)
        for row, sample in enumerate(samples):
            self.choice_BV[row, [self._id(choice) for choice in sample.choices]] = True

    def _id(self, word: str) -> int:
        ids = self.tokenizer(word, add_special_tokens=False)["input_ids"]
        return ids[0]

    def score(
        self,
        model: PreTrainedModel,
        rows_R: torch.Tensor | None = None,
        hook_for: Callable[[torch.Tensor], Hook] | None = None,
        progress: Progress | None = None,
    ) -> Scores:
        """Greedy completions and all scores of samples rows_R (default: each once; repeats allowed).

        `hook_for(index_B)` gives the edit of a batch, index_B being places in rows_R: many edits of the same samples
        run side by side along the batch axis.
        """
        rows_R = torch.arange(len(self.samples)) if rows_R is None else rows_R
        prompts, parts = self.prompts.with_prefix(model), []
        for index_B in torch.arange(len(rows_R)).split(self.batch_size):
            parts.append(self._score_batch(model, prompts, rows_R[index_B], index_B, hook_for))
            if progress is not None:
                progress.update(int(index_B[-1]) + 1)
        return Scores(
            [text for part in parts for text in part.completions],
            *(torch.cat([getattr(part, f) for part in parts]) for f in SCORE_TENSORS),
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
        hook_for: Callable[[torch.Tensor], Hook] | None,
    ) -> Scores:
        prompts, pad = all_prompts.take(rows_B), self.tokenizer.pad_token_id
        watch = AnswerWatch(self.marker_id, len(rows_B), len(self.tokenizer), prompts.ids_BP.device)
        hook = hook_for(index_B) if hook_for else None
        ids_BN = generate(model, prompts, self.max_new_tokens, self.tokenizer.eos_token_id, pad, hook, watch=watch)
        unseen_U = (~watch.seen_B).nonzero().squeeze(1).cpu()
        if len(unseen_U):
            hook = hook_for(index_B[unseen_U]) if hook_for else None
            watch.logprob_BV[unseen_U] = self._forced_answer(model, prompts.take(unseen_U), ids_BN[unseen_U], hook)
        ids_BN, logprob_BV = ids_BN.cpu(), watch.logprob_BV.cpu()
        texts = self.tokenizer.batch_decode(ids_BN, skip_special_tokens=True)
        answers = [self.samples[row].answer for row in rows_B.tolist()]
        best_B = logprob_BV.masked_fill(~self.choice_BV[rows_B], -torch.inf).argmax(-1)
        answer_B = self.answer_B[rows_B]
        return Scores(
            completions=texts,
            correct_B=torch.tensor([final_answer(t, self.marker) == a for t, a in zip(texts, answers, strict=True)]),
            format_blind_B=best_B == answer_B,
            answer_logprob_B=logprob_BV.gather(1, answer_B[:, None]).squeeze(1),
            length_B=(ids_BN != pad).sum(-1),
        )

    @torch.inference_mode()
    def _forced_answer(
        self, model: PreTrainedModel, prompts: Prompts, ids_BN: torch.Tensor, hook: Hook | None
    ) -> torch.Tensor:
        """log p(next token | prompt, own reasoning, marker), shape (B, V), for completions without a marker.

        The marker is put where the completion ended, as if the model had been asked for its answer there. Rows that
        ended with the marker as their very last token are read the same way.
        """
        ended_BN = (ids_BN == self.tokenizer.eos_token_id) | (ids_BN == self.tokenizer.pad_token_id)
        ended_BN |= ids_BN == self.marker_id
        n = ids_BN.shape[1]
        place_B = torch.where(ended_BN.any(1), ended_BN.int().argmax(1), n)
        column_N = torch.arange(n + 1, device=ids_BN.device)
        text_BN = torch.cat([ids_BN, torch.full_like(ids_BN[:, :1], self.tokenizer.pad_token_id)], dim=1)
        text_BN = text_BN.masked_fill(column_N == place_B[:, None], self.marker_id)
        hidden_BTd = forced_hidden(model, prompts, text_BN, column_N <= place_B[:, None], hook)
        at_B = 1 + place_B  # column 0 is the last prompt token
        return model.lm_head(hidden_BTd[torch.arange(len(at_B)), at_B]).float().log_softmax(-1)
