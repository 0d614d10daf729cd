"""Greedy text of thousands of tokens under an edit: several ends of sequence, stop texts, a cache that grows.

`rlgen.models.generation.generate` sets the cache aside for the longest completion beforehand, which suits texts of a
dozen tokens. A model with 36 blocks and 8 key-value heads of width 128 holds 147 kB per token in bfloat16: 4,096 new
tokens of 32 rows are 19 GB, before any is written. Here the cache follows the longest text so far.
"""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.models.cache import RowCache
from rlgen.models.checkpoints import blocks
from rlgen.models.generation import AnswerWatch, Decoding, Prompts, decode
from rlgen.models.hooks import Hook

NOTHING = -1  # fills ids after a text's end: a tokenizer may pad with its end of sequence


class GrowingCache(RowCache):
    """A cache whose columns are added as texts grow, by half of what there is, up to a limit."""

    def __init__(self, width: int, limit: int) -> None:
        super().__init__(min(width, limit))
        self.limit = limit

    def make_room(self, columns: int) -> None:
        """Have at least this many columns, as far as the limit allows."""
        if columns <= self.width or self.width == self.limit:
            return
        added = min(max(columns, self.width + self.width // 2), self.limit) - self.width
        for block, both in self.layers.items():  # one block at a time: the old columns are freed before the next
            self.layers[block] = tuple(torch.nn.functional.pad(x, (0, 0, 0, added)) for x in both)
        self.width += added


@dataclass(frozen=True)
class Ends:
    """What ends a completion: any of some tokens, or a text."""

    ids: tuple[int, ...]
    stops: tuple[str, ...]

    @classmethod
    def of(cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, stops: list[str]) -> "Ends":
        """The model's own ends of sequence, the tokenizer's, and `stops`, of which some may be tokens of their own."""
        own, added = model.generation_config.eos_token_id, tokenizer.get_added_vocab()
        ids = {*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id} - {None}
        ids |= {added[stop] for stop in stops if stop in added}
        return cls(tuple(sorted(ids)), tuple(stop for stop in stops if stop and stop not in added))

    def cut(self, text: str) -> str:
        """A text up to its first stop, as lm-eval cuts it."""
        for stop in self.stops:
            text = text.split(stop)[0]
        return text


class TextDecoding(Decoding):
    """Decoding that knows several ends."""

    def __init__(
        self, prompts: Prompts, cache: GrowingCache, max_new_tokens: int, ends: Ends, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        ids_BN = torch.full((len(prompts), max_new_tokens), NOTHING, device=prompts.ids_BP.device)
        super().__init__(prompts, cache, ids_BN, ends.ids[0])
        self.ends, self.tokenizer = ends, tokenizer
        self.end_ids = torch.tensor(ends.ids, device=ids_BN.device)
        lengths = [len(tokenizer(stop, add_special_tokens=False)["input_ids"]) for stop in ends.stops]
        self.look_back = max(lengths, default=0) + 2  # a stop may be written in other tokens than its own

    def write(self, next_A: torch.Tensor, watch: AnswerWatch | None) -> torch.Tensor:
        """Append each row's next token; returns the rows that go on."""
        self.cache.make_room(int(self.column_A.max()) + 2)
        super().write(next_A, watch)
        self.ended_A = self.ended_A | torch.isin(next_A, self.end_ids)
        if self.ends.stops and not bool(self.ended_A.all()):
            self.ended_A = self.ended_A | self._stopped()
        return ~self.ended_A

    def _stopped(self) -> torch.Tensor:
        """Rows that go on, but whose last tokens hold a stop."""
        open_A = (~self.ended_A).nonzero().squeeze(1)
        tail_AK = self.ids_BN[self.rows_A[open_A], max(0, self.longest - self.look_back) : self.longest]
        texts = self.tokenizer.batch_decode(tail_AK)
        stopped = [any(stop in text for stop in self.ends.stops) for text in texts]
        return torch.zeros_like(self.ended_A).index_fill(0, open_A[torch.tensor(stopped, device=open_A.device)], True)


@torch.inference_mode()
def generate_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Prompts,
    max_new_tokens: int,
    ends: Ends,
    hook: Hook | None = None,
) -> list[str]:
    """Greedy completions, cut at their first stop, special tokens left out.

    `prompts` hold the model's prefix (under the hook, where it acts everywhere).
    """
    width = prompts.ids_BP.shape[1]
    cache = GrowingCache(width + min(max_new_tokens, 256), width + max_new_tokens + 1)
    prompts.fill(cache, range(len(blocks(model))))
    decoding = TextDecoding(prompts, cache, max_new_tokens, ends, tokenizer)
    decode(model, decoding, hook, None)
    rows = [ids_N[ids_N != NOTHING] for ids_N in decoding.ids_BN.cpu()]
    return [ends.cut(text) for text in tokenizer.batch_decode(rows, skip_special_tokens=True)]
