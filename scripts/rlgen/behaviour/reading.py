"""Reading texts after prompts under an edit: what the blocks up to it make of a text serves all conditions.

Shapes: S samples, N texts, R rows (a text under a condition each), T positions that predict a text, d width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from rlgen.behaviour.continuations import Ids, texts_of
from rlgen.models.cache import RowCache
from rlgen.models.checkpoints import blocks
from rlgen.models.drafts import Draft
from rlgen.models.generation import Prompts, forward
from rlgen.models.head import Head, output_head
from rlgen.models.hooks import Hook, edited
from rlgen.models.logprobs import mean_kl, token_logprobs
from rlgen.models.passes import Padding, passes_on

TOKENS_PER_PASS = 32768  # of rows side by side in one forward pass over whole solutions


def under(model: PreTrainedModel, prompts: Prompts, hook: Hook | None) -> Prompts:
    """Prompts whose prefix is right under an edit: one that acts everywhere changes it, others do not."""
    return prompts.with_prefix(model, hook) if hook is not None and hook.everywhere else prompts


@dataclass(frozen=True)
class Reading:
    """Texts after the prompts of a few samples, read once by the blocks up to the edit."""

    prompts: Prompts  # of the S samples, with the model's prefix
    sample_N: torch.Tensor  # text -> its prompt
    draft: Draft

    @classmethod
    def of(cls, model: PreTrainedModel, prompts: Prompts, texts: list[list[Ids]], layer: int, rows: int) -> "Reading":
        """Read some texts per prompt, `rows` at a time."""
        sample_N = torch.tensor([s for s, some in enumerate(texts) for _ in some], device=model.device)
        text_NL, length_N = texts_of([ids for some in texts for ids in some], model.device)
        return cls(prompts, sample_N, Draft.read(model, prompts.take(sample_N), text_NL, length_N, layer, rows))

    def hidden(
        self, model: PreTrainedModel, texts_R: torch.Tensor, hook: Hook | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For rows that each read one text: hidden states (R, T, d) that predict it, its tokens, and which count."""
        prompts = under(model, self.prompts.take(self.sample_N[texts_R]), hook)
        hidden_RTd = self.draft.hidden(model, prompts, texts_R, hook)[0][:, :-1]
        columns = hidden_RTd.shape[1]
        mask_RT = torch.arange(columns, device=texts_R.device) < self.draft.length_N[texts_R, None]
        return hidden_RTd, self.draft.text_NL[texts_R, :columns], mask_RT


@dataclass(frozen=True)
class BenchmarkGoal:
    """The model whose behaviour is to be reached, on its own text after every prompt.

    texts: tokens per sample, its first `completion_tokens`; hidden: its final hidden states (T, d), on the CPU, at the
    positions that predict them; head: its output head, which turns those into next-token log-probabilities.
    """

    texts: list[Ids]
    hidden: list[torch.Tensor]
    head: Head

    def some(self, samples: Sequence[int]) -> "BenchmarkGoal":
        """The goal of some samples."""
        return BenchmarkGoal([self.texts[i] for i in samples], [self.hidden[i] for i in samples], self.head)

    def kl(self, model: PreTrainedModel, reading: Reading, texts_R: torch.Tensor, hook: Hook | None) -> torch.Tensor:
        """Mean over a text's positions of KL(goal || model), nats (R,). `reading` holds this goal's texts, in order."""
        hidden_RTd, _, mask_RT = reading.hidden(model, texts_R, hook)
        goal_RTd = pad_sequence([self.hidden[i] for i in texts_R.tolist()], batch_first=True)
        return mean_kl(self.head, goal_RTd.to(hidden_RTd.device), output_head(model), hidden_RTd, mask_RT).cpu()


@torch.inference_mode()
def answer_logprobs(
    model: PreTrainedModel,
    prompts: Prompts,
    own_R: torch.Tensor,
    asked: Sequence[tuple[Ids, int]],
    hook: Hook | None = None,
) -> torch.Tensor:
    """Sum of the log-probabilities of the last tokens of some texts, nats (R,).

    Row r is text `asked[r]`, (tokens, how many of them count), after prompt own_R[r] of `prompts`, which hold the
    model's prefix. One forward pass of a bounded number of tokens at a time, rows of about the same length together.
    """
    found_R, last = torch.zeros(len(asked)), prompts.ids_BP.shape[1] - 1
    length_R = torch.tensor([len(text) for text, _ in asked], device=model.device)
    most = max(1, TOKENS_PER_PASS // (last + 1 + int(length_R.max())))
    for chunk_B, _ in passes_on(length_R, prompts.mixed or Padding("answers"), most):
        chunk = chunk_B.tolist()
        part = hook and hook.take(chunk_B)
        batch = under(model, prompts.take(own_R[chunk_B]), part)
        text_BT, length_B = texts_of([asked[r][0] for r in chunk], model.device)
        cache = batch.fill(RowCache(last + text_BT.shape[1]), range(len(blocks(model))))
        ids_BT = torch.cat([batch.ids_BP[:, -1:], text_BT[:, :-1]], dim=1)
        with edited(model, part):
            hidden_BTd = forward(model, cache, ids_BT, batch.padding_B, last)
        column_T = torch.arange(text_BT.shape[1], device=model.device)
        first_B = length_B - torch.tensor([asked[r][1] for r in chunk], device=model.device)
        mask_BT = (column_T >= first_B[:, None]) & (column_T < length_B[:, None])
        found_R[chunk] = token_logprobs(output_head(model), hidden_BTd, text_BT, mask_BT)[0].sum(1).cpu()
    return found_R
