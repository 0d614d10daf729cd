"""Drafts: texts that a completion may turn out to begin with, checked in one forward pass instead of token by token.

Greedy decoding chooses the same tokens whether they are written one by one or a guess is checked at all its positions
at once (Leviathan, Kalman and Matias, 2023, "Fast inference from transformers via speculative decoding"): the guess is
accepted up to the first token that the model would not have written, which the same pass supplies. Under an edit of the
stream after block `layer`, the blocks up to it see tokens only, so what they compute on a draft serves every condition;
a condition's pass begins at its edit. Where the draft is the text on which a distance is measured, the pass is needed
anyway.

Shapes: N samples, B rows of a batch (repeats of samples), L tokens of the longest draft, L+1 columns from the prompt's
last token on, P columns of prompts.
"""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from rlgen.models.cache import RowCache
from rlgen.models.checkpoints import blocks
from rlgen.models.generation import AnswerWatch, Decoding, Limits, Prefix, Prompts, decode, forward
from rlgen.models.head import output_head
from rlgen.models.hooks import Hook
from rlgen.models.passes import passes_on, put_together
from rlgen.models.residual import resumed_after, stopped_at


@dataclass(frozen=True)
class Draft:
    """Texts of N samples and what one model's blocks up to `layer` make of them."""

    text_NL: torch.Tensor
    length_N: torch.Tensor
    layer: int
    h_NTd: torch.Tensor  # output of block `layer` in the L+1 columns
    lower: Prefix  # keys and values of blocks 0..layer in the same columns

    @classmethod
    @torch.inference_mode()
    def read(
        cls,
        model: PreTrainedModel,
        prompts: Prompts,
        text_NL: torch.Tensor,
        length_N: torch.Tensor,
        layer: int,
        batch_size: int,
    ) -> "Draft":
        """Run the blocks up to `layer` on texts padded on the right. `prompts` hold the model's prefix."""
        columns, mixed = text_NL.shape[1] + 1, prompts.mixed
        if mixed is None:
            passes = ((rows_B, columns) for rows_B in torch.arange(len(prompts)).split(batch_size))
        else:
            passes = passes_on(length_N + 1, mixed, batch_size)
        parts = ((r, _read_rows(model, prompts.take(r), text_NL[r, : T - 1], layer)) for r, T in passes)
        h_NTd, *lower = put_together(parts, len(prompts), columns)
        return cls(text_NL, length_N, layer, h_NTd, tuple(zip(lower[::2], lower[1::2], strict=True)))

    @torch.inference_mode()
    def check(
        self, model: PreTrainedModel, prompts: Prompts, rows_B: torch.Tensor, hook: Hook | None, spare: int = 0
    ) -> tuple[torch.Tensor, RowCache]:
        """Next-token logits (B, L+1, V) under an edit, L being the batch's longest, and the upper blocks' cache.

        `prompts` and `hook` are those of rows_B. `spare` columns are left for what is written after the draft.
        """
        hidden_BTd, cache = self.hidden(model, prompts, rows_B, hook, spare)
        return output_head(model)(hidden_BTd), cache

    @torch.inference_mode()
    def hidden(
        self, model: PreTrainedModel, prompts: Prompts, rows_B: torch.Tensor, hook: Hook | None, spare: int = 0
    ) -> tuple[torch.Tensor, RowCache]:
        """As `check`, before the output head: final hidden states (B, L+1, d)."""
        longest, last = int(self.length_N[rows_B].max()), prompts.ids_BP.shape[1] - 1
        h_BTd = self.h_NTd[:, : longest + 1].index_select(0, rows_B)
        if hook is not None:
            h_BTd = hook.edit(h_BTd)
        upper = range(self.layer + 1, len(blocks(model)))
        cache = prompts.fill(RowCache(last + self.h_NTd.shape[1] + spare), upper)
        with resumed_after(model, self.layer):
            return forward(model, cache, None, prompts.padding_B, last, inputs_embeds=h_BTd), cache

    @torch.inference_mode()
    def complete(
        self,
        model: PreTrainedModel,
        prompts: Prompts,
        rows_B: torch.Tensor,
        limits: Limits,
        hook: Hook | None,
        watch: AnswerWatch,
        second: "Draft | None" = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Greedy completions ids_BN as `generate` writes them, and the logits (B, L+1, V) of the check.

        `prompts` and `hook` are those of rows_B. Texts are whole: as long as `limits` allow, ended by eos if shorter.
        Rows that this draft does not carry to their end start anew from the `second`, where there is one.
        """
        length_B = self.length_N[rows_B]
        text_BL = self.text_NL[rows_B, : int(length_B.max())]
        logits_BTV, cache = self.check(model, prompts, rows_B, hook, limits.max_new_tokens - self.text_NL.shape[1] + 1)
        choice_BT = logits_BTV.argmax(-1)
        column_L = torch.arange(text_BL.shape[1], device=text_BL.device)
        right_BL = (choice_BT[:, :-1] == text_BL) & (column_L < length_B[:, None])
        accepted_B = right_BL.int().cumprod(1).sum(1)
        kept_BL = column_L < accepted_B[:, None]
        _see_draft(watch, text_BL, kept_BL, logits_BTV)
        spare = limits.max_new_tokens - text_BL.shape[1]
        ids_BN = torch.nn.functional.pad(text_BL.masked_fill(~kept_BL, limits.pad_id), (0, spare), value=limits.pad_id)
        decoding = Decoding(prompts, cache, ids_BN, limits.eos_id)
        next_B = choice_BT.gather(1, accepted_B[:, None]).squeeze(1)
        decoding.resume(accepted_B, next_B, accepted_B == length_B, watch)
        open_A = (~decoding.ended_A | ~watch.seen_B).nonzero().squeeze(1)
        longest = decoding.longest
        if len(open_A) and second is not None:
            rest = AnswerWatch(watch.marker_id, len(open_A), logits_BTV.shape[2], ids_BN.device)
            part = (prompts.take(open_A), rows_B[open_A], limits, hook and hook.take(open_A))
            text_AN, _ = second.complete(model, *part, rest)
            missing = limits.max_new_tokens - text_AN.shape[1]
            ids_BN[open_A] = torch.nn.functional.pad(text_AN, (0, missing), value=limits.pad_id)
            watch.seen_B[open_A], watch.logprob_BV[open_A] = True, rest.logprob_BV
            longest = max(longest, text_AN.shape[1])
        elif len(open_A):
            decoding.keep(open_A)
            self._add_lower(cache, prompts.take(open_A), rows_B[open_A])
            decode(model, decoding, hook, watch)
            longest = decoding.longest
        return ids_BN[:, :longest], logits_BTV

    def _add_lower(self, cache: RowCache, prompts: Prompts, rows_A: torch.Tensor) -> None:
        """Give the cache of the rows that go on what the blocks up to `layer` hold of prompts and texts."""
        prompts.fill(cache, range(self.layer + 1))
        for block, (keys, values) in enumerate(self.lower):
            parts = (x.index_select(0, rows_A) for x in (keys, values))
            cache.fill(block, *parts, first=prompts.ids_BP.shape[1] - 1)


def _read_rows(model: PreTrainedModel, prompts: Prompts, text_BL: torch.Tensor, layer: int) -> list[torch.Tensor]:
    """Output of block `layer` from the prompts' last token on, and keys and values of the blocks up to it."""
    last = prompts.ids_BP.shape[1] - 1
    ids_BT = torch.cat([prompts.ids_BP[:, -1:], text_BL], dim=1)
    cache = prompts.fill(RowCache(last + ids_BT.shape[1]), range(layer + 1))
    with stopped_at(model, layer):
        h_BTd = forward(model, cache, ids_BT, prompts.padding_B, last)
    return [h_BTd, *(x[:, :, last:] for block in range(layer + 1) for x in cache.layers[block])]


def _see_draft(watch: AnswerWatch, text_BL: torch.Tensor, kept_BL: torch.Tensor, logits_BTV: torch.Tensor) -> None:
    """Record the answers of rows whose accepted text holds a marker."""
    marker_BL = (text_BL == watch.marker_id) & kept_BL
    rows_A = marker_BL.any(1).nonzero().squeeze(1)
    place_A = marker_BL[rows_A].int().argmax(1)
    watch.see(rows_A, text_BL[rows_A, place_A], logits_BTV[rows_A, place_A + 1])
