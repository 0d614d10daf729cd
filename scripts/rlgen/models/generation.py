"""Batched greedy (or sampled) decoding with a KV cache, open to an edit of the residual stream.

An edit acts at the output of one block, from the prompt's last token on: what the cache holds of the tokens before it
serves every condition that a prompt is run under. Rows that have ended leave the batch.

Columns: prompts are padded on the left to P columns, so a prompt's last token stands in column P-1 and new token n in
column P+n; a token's position is its column less the row's padding.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.models.cache import RowCache
from rlgen.models.checkpoints import blocks
from rlgen.models.head import Head, output_head
from rlgen.models.hooks import Hook, edited
from rlgen.models.masks import allowed, allowed_at, window_of
from rlgen.models.passes import Padding, passes_on, put_together

COMPACT_BELOW = 0.8  # rows that are done leave once the others are at most this share: moving the cache has its price


Prefix = tuple[tuple[torch.Tensor, torch.Tensor], ...]  # per block: keys, values of all prompt tokens but the last


@dataclass(frozen=True)
class Prompts:
    """Prompts padded on the left: ids_BP, attention_BP, and optionally what a model's cache holds of them.

    Row b's prefix is row prefix_row_B[b] of `prefix`: prompts that are repeated or left out do not move it. Prompts of
    mixed lengths, and the texts after them, are read in passes with little padding, others as they come.
    """

    ids_BP: torch.Tensor
    attention_BP: torch.Tensor
    prefix: Prefix | None = None
    prefix_row_B: torch.Tensor | None = None
    mixed: Padding | None = None  # of prompts of mixed lengths: counts what is read

    @classmethod
    def encode(cls, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> "Prompts":
        """Tokenize with the tokenizer's own <bos>."""
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
        return cls(batch["input_ids"], batch["attention_mask"])

    def __len__(self) -> int:
        return len(self.ids_BP)

    @property
    def padding_B(self) -> torch.Tensor:
        """Columns of padding before each prompt."""
        return self.ids_BP.shape[1] - self.attention_BP.sum(1)

    def to(self, device: torch.device | str) -> "Prompts":
        """The same prompts on a device."""
        return replace(self, ids_BP=self.ids_BP.to(device), attention_BP=self.attention_BP.to(device))

    def take(self, rows_R: torch.Tensor) -> "Prompts":
        """The prompts of rows_R, repeats allowed."""
        place_R = None if self.prefix_row_B is None else self.prefix_row_B[rows_R]
        return replace(self, ids_BP=self.ids_BP[rows_R], attention_BP=self.attention_BP[rows_R], prefix_row_B=place_R)

    @torch.inference_mode()
    def with_prefix(self, model: PreTrainedModel, hook: Hook | None = None) -> "Prompts":
        """The same prompts with the model's cache of all tokens but the last, on the model's device.

        `hook`, an edit that acts everywhere, changes what the blocks after it hold.
        """
        prompts, last = self.to(model.device), self.ids_BP.shape[1] - 1
        rows_B = torch.arange(len(self), device=prompts.ids_BP.device)
        if last == 0:
            return replace(prompts, prefix=(), prefix_row_B=rows_B)
        if self.mixed is None:
            found = prompts._read_prefix(model, hook, last)
        else:
            passes = passes_on(prompts.attention_BP[:, :-1].sum(1), self.mixed)
            parts = ((r, prompts.take(r)._read_prefix(model, hook and hook.take(r), max(1, T))) for r, T in passes)
            found = put_together(parts, len(self), last, right=True)
        return replace(prompts, prefix=tuple(zip(found[::2], found[1::2], strict=True)), prefix_row_B=rows_B)

    def _read_prefix(self, model: PreTrainedModel, hook: Hook | None, columns: int) -> list[torch.Tensor]:
        """Keys and values, block by block, of the last `columns` columns before the last."""
        cache, padding_B = RowCache(columns), self.padding_B - (self.ids_BP.shape[1] - 1 - columns)
        with edited(model, hook and hook.but_first(padding_B)):
            forward(model, cache, self.ids_BP[:, -1 - columns : -1], padding_B, 0)
        return [x for block in range(len(blocks(model))) for x in cache.layers[block]]

    def fill(self, cache: RowCache, chosen: range) -> RowCache:
        """Put the prefix of the chosen blocks into the first columns of a cache."""
        for block in chosen if self.prefix else ():
            cache.fill(block, *(x.index_select(0, self.prefix_row_B) for x in self.prefix[block]))
        return cache


def forward(
    model: PreTrainedModel, cache: RowCache, ids_BQ: torch.Tensor, padding_B: torch.Tensor, first: int, **inputs
) -> torch.Tensor:
    """Final hidden states (B, Q, d) of tokens in the columns first, first+1, ... of all rows.

    `inputs_embeds` in place of `ids_BQ=None` starts from a residual stream instead of tokens.
    """
    queries = (inputs["inputs_embeds"] if ids_BQ is None else ids_BQ).shape[1]
    cache.stand(slice(first, first + queries))
    column_Q = torch.arange(first, first + queries, device=padding_B.device)
    return model.model(
        input_ids=ids_BQ,
        attention_mask=allowed(padding_B, first, queries, model.dtype, window_of(model.config)),
        position_ids=(column_Q - padding_B[:, None]).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        **inputs,
    ).last_hidden_state


class Limits(NamedTuple):
    """When a completion ends, and what stands after its end."""

    max_new_tokens: int
    eos_id: int
    pad_id: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, max_new_tokens: int) -> "Limits":
        """With the tokenizer's own end and padding."""
        return cls(max_new_tokens, tokenizer.eos_token_id, tokenizer.pad_token_id)


class AnswerWatch:
    """Keeps, for every row, the next-token log-probabilities right after its first answer marker.

    A row that ends without a marker is asked: the marker is put where its text ended, as if the model had been asked
    for its answer there.
    """

    def __init__(self, marker_id: int, rows: int, vocabulary: int, device: torch.device | str = "cpu") -> None:
        self.marker_id = marker_id
        self.seen_B = torch.zeros(rows, dtype=torch.bool, device=device)
        self.logprob_BV = torch.full((rows, vocabulary), torch.nan, device=device)

    def see(self, rows_A: torch.Tensor, token_A: torch.Tensor, logits_AV: torch.Tensor) -> None:
        """Record the rows whose newest token is their first marker."""
        now_A = (token_A == self.marker_id) & ~self.seen_B[rows_A]
        if bool(now_A.any()):
            self.logprob_BV[rows_A[now_A]] = logits_AV[now_A].float().log_softmax(-1)
            self.seen_B[rows_A[now_A]] = True


class Decoding:
    """The rows of a batch that still write or are to be asked for their answer, and what they have written."""

    def __init__(self, prompts: Prompts, cache: RowCache, ids_BN: torch.Tensor, eos_id: int) -> None:
        """All rows of the batch at the last token of their prompt; ids_BN is padding, to be written into."""
        self.cache, self.ids_BN, self.eos_id = cache, ids_BN, eos_id
        self.rows_A = torch.arange(len(prompts), device=ids_BN.device)
        self.token_A, self.padding_A = prompts.ids_BP[:, -1], prompts.padding_B
        self.column_A = torch.full_like(self.rows_A, prompts.ids_BP.shape[1] - 1)
        self.count_A = torch.zeros_like(self.rows_A)
        self.ended_A = torch.zeros_like(self.rows_A, dtype=torch.bool)
        self.ragged = False  # whether rows stand at different columns
        self.longest = 0  # tokens of the longest text so far

    def resume(self, accepted_B: torch.Tensor, next_B: torch.Tensor, whole_B: torch.Tensor, watch: AnswerWatch) -> None:
        """Go on after the first accepted_B tokens, which ids_BN and the cache hold: next_B is the token after them.

        Where `whole_B` says that the accepted tokens are all, nothing is written and the row waits to be asked.
        """
        last_B = self.ids_BN.gather(1, (accepted_B[:, None] - 1).clamp(min=0)).squeeze(1)
        writing_B = (~whole_B).nonzero().squeeze(1)
        self.ids_BN[writing_B, accepted_B[writing_B]] = next_B[writing_B]
        self.count_A = accepted_B + ~whole_B
        self.longest, self.ragged = int(self.count_A.max()), True
        eos_B = ~whole_B & (next_B == self.eos_id)
        self.ended_A = whole_B | eos_B | (self.count_A == self.ids_BN.shape[1])
        self.token_A = next_B.masked_fill(whole_B | eos_B, watch.marker_id)
        self.column_A = self.column_A + 1 + accepted_B - (whole_B & (last_B == self.eos_id)).long()

    def keep(self, places_A: torch.Tensor) -> None:
        """Go on with these rows only."""
        self.cache.keep(places_A)
        for name in ("rows_A", "token_A", "padding_A", "column_A", "count_A", "ended_A"):
            setattr(self, name, getattr(self, name)[places_A])

    def logits(self, model: PreTrainedModel, head: Head, hook: Hook | None) -> torch.Tensor:
        """Next-token logits_AV after each row's newest token, which enters the cache."""
        self.cache.stand(self.column_A if self.ragged else slice(at := int(self.column_A[0]), at + 1))
        place = (self.column_A, self.padding_A, self.cache.end)
        with edited(model, hook):
            hidden_A1d = model.model(
                input_ids=self.token_A[:, None],
                attention_mask=allowed_at(*place, model.dtype, window_of(model.config)),
                position_ids=(self.column_A - self.padding_A)[:, None],
                past_key_values=self.cache,
                use_cache=True,
            ).last_hidden_state
        return head(hidden_A1d)[:, -1]

    def write(self, next_A: torch.Tensor, watch: AnswerWatch | None) -> torch.Tensor:
        """Append each row's next token where its text goes on, and choose what is fed next.

        Returns the rows that are not done. The end of sequence is written and never fed: where a row without an answer
        ends, the marker takes its place. A text that is cut by its length is fed to its end before the marker.
        """
        asked_A = self.ended_A
        writing_A = ~asked_A
        self.ids_BN[self.rows_A[writing_A], self.count_A[writing_A]] = next_A[writing_A]
        self.count_A = self.count_A + writing_A
        self.longest = max(self.longest, int(self.count_A.max()))
        eos_A = writing_A & (next_A == self.eos_id)
        self.ended_A = asked_A | eos_A | (self.count_A == self.ids_BN.shape[1])
        self.column_A = (self.column_A + 1).clamp(max=self.cache.width - 1)
        self.token_A = next_A if watch is None else next_A.masked_fill(asked_A | eos_A, watch.marker_id)
        return ~self.ended_A if watch is None else ~self.ended_A | ~watch.seen_B[self.rows_A]


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Prompts,
    limits: Limits,
    hook: Hook | None = None,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    watch: AnswerWatch | None = None,
) -> torch.Tensor:
    """Completions ids_BN (N <= limits.max_new_tokens), eos kept, padding after it.

    Greedy at temperature 0. Stops as soon as every row has ended. `watch` is left with every row's answer.
    """
    if hook is not None and hook.everywhere:
        prompts = prompts.with_prefix(model, hook)
    elif prompts.prefix is None:
        prompts = prompts.with_prefix(model)
    ids_BN = torch.full((len(prompts), limits.max_new_tokens), limits.pad_id, device=prompts.ids_BP.device)
    cache = prompts.fill(RowCache(prompts.ids_BP.shape[1] + limits.max_new_tokens + 1), range(len(blocks(model))))
    decoding = Decoding(prompts, cache, ids_BN, limits.eos_id)
    decode(model, decoding, hook, watch, temperature, generator)
    return ids_BN[:, : decoding.longest]


def decode(
    model: PreTrainedModel,
    decoding: Decoding,
    hook: Hook | None,
    watch: AnswerWatch | None,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> None:
    """Token by token until every row is done. `hook` is that of the whole batch."""
    part, head = hook and hook.take(decoding.rows_A), output_head(model)
    while len(decoding.rows_A):
        logits_AV = decoding.logits(model, head, part)
        if watch is not None:
            watch.see(decoding.rows_A, decoding.token_A, logits_AV)
        open_A = decoding.write(_pick(logits_AV, temperature, generator), watch)
        left = int(open_A.sum())
        if left == 0:
            return
        # sampling draws for every row of the batch, so that what a row is given does not depend on when others end
        if temperature == 0 and left <= COMPACT_BELOW * len(open_A):
            decoding.keep(open_A.nonzero().squeeze(1))
            part = hook and hook.take(decoding.rows_A)


def _pick(logits_BV: torch.Tensor, temperature: float, generator: torch.Generator | None) -> torch.Tensor:
    if temperature == 0:
        return logits_BV.argmax(-1)
    return torch.multinomial((logits_BV / temperature).softmax(-1), 1, generator=generator).squeeze(1)
