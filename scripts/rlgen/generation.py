"""Batched greedy (or sampled) decoding with a KV cache, and teacher-forced forwards, both open to an edit.

An edit acts on the residual stream at the output of one block. It sees only the columns it may change: during
generation the prompt's last column and then every new token's, so a cached prefix is computed once and never again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerFast

from rlgen.models import blocks

# (residual stream h_BTd of the columns that may change) -> the edited h_BTd; row b is row b of the batch.
Edit = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Hook:
    """Where an edit acts: the output of block `layer`, from the last prompt token on or everywhere."""

    edit: Edit
    layer: int
    everywhere: bool = False


@contextmanager
def edited(model: PreTrainedModel, hook: Hook | None, first_column: int) -> Iterator[None]:
    """Within the context block `hook.layer` outputs the edited stream in columns >= `first_column`."""
    if hook is None:
        yield
        return
    start = 0 if hook.everywhere else first_column

    def replace(_module, _inputs, h_BTd: torch.Tensor) -> torch.Tensor:
        return torch.cat([h_BTd[:, :start], hook.edit(h_BTd[:, start:])], dim=1)

    handle = blocks(model)[hook.layer].register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


Prefix = tuple[tuple[torch.Tensor, torch.Tensor], ...]  # per block: keys, values of all prompt tokens but the last


@dataclass(frozen=True)
class Prompts:
    """Prompts padded on the left: ids_BP, attention_BP, and optionally what a model's cache holds of them.

    No edit from the last prompt token on can change the cache of the tokens before it, so one prefix serves every
    condition that a prompt is run under.
    """

    ids_BP: torch.Tensor
    attention_BP: torch.Tensor
    prefix: Prefix | None = None

    @classmethod
    def encode(cls, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> "Prompts":
        """Tokenize with the tokenizer's own <bos>."""
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
        return cls(batch["input_ids"], batch["attention_mask"])

    def __len__(self) -> int:
        return len(self.ids_BP)

    def to(self, device: torch.device | str) -> "Prompts":
        """The same prompts on a device."""
        return Prompts(self.ids_BP.to(device), self.attention_BP.to(device), self.prefix)

    def take(self, rows_R: torch.Tensor) -> "Prompts":
        """The prompts of rows_R, repeats allowed."""
        prefix = self.prefix and tuple((keys[rows_R], values[rows_R]) for keys, values in self.prefix)
        return Prompts(self.ids_BP[rows_R], self.attention_BP[rows_R], prefix)

    @torch.inference_mode()
    def with_prefix(self, model: PreTrainedModel) -> "Prompts":
        """The same prompts with the model's cache of all tokens but the last, on the model's device."""
        if self.ids_BP.shape[1] == 1:
            return self
        cache, prompts = DynamicCache(config=model.config), self.to(model.device)
        attention_BT = prompts.attention_BP[:, :-1]
        model.model(
            input_ids=prompts.ids_BP[:, :-1],
            attention_mask=attention_BT,
            position_ids=_positions(attention_BT),
            past_key_values=cache,
            use_cache=True,
        )
        return Prompts(
            prompts.ids_BP, prompts.attention_BP, tuple((layer.keys, layer.values) for layer in cache.layers)
        )

    def start(self, model: PreTrainedModel, hook: Hook | None) -> tuple[DynamicCache, int]:
        """A cache to continue from and the first column it lacks. An edit everywhere starts from nothing."""
        cache = DynamicCache(config=model.config)
        if self.prefix is None or (hook is not None and hook.everywhere):
            return cache, 0
        for layer, (keys, values) in enumerate(self.prefix):
            cache.update(keys, values, layer)
        return cache, self.ids_BP.shape[1] - 1


def _positions(attention_BT: torch.Tensor) -> torch.Tensor:
    """Position of every token, padding on the left not counted."""
    return (attention_BT.cumsum(-1) - 1).clamp(min=0)


def _pick(logits_BV: torch.Tensor, temperature: float, generator: torch.Generator | None) -> torch.Tensor:
    if temperature == 0:
        return logits_BV.argmax(-1)
    return torch.multinomial((logits_BV / temperature).softmax(-1), 1, generator=generator).squeeze(1)


class AnswerWatch:
    """Keeps, for every row, the next-token log-probabilities right after its first answer marker."""

    def __init__(self, marker_id: int, rows: int, vocabulary: int, device: torch.device | str = "cpu") -> None:
        self.marker_id = marker_id
        self.seen_B = torch.zeros(rows, dtype=torch.bool, device=device)
        self.logprob_BV = torch.full((rows, vocabulary), torch.nan, device=device)

    def see(self, previous_B: torch.Tensor, logits_BV: torch.Tensor) -> None:
        """Record the rows whose newest token is their first marker."""
        now_B = (previous_B == self.marker_id) & ~self.seen_B
        self.logprob_BV[now_B] = logits_BV[now_B].float().log_softmax(-1)
        self.seen_B |= now_B


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Prompts,
    max_new_tokens: int,
    eos_id: int,
    pad_id: int,
    hook: Hook | None = None,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    watch: "AnswerWatch | None" = None,
) -> torch.Tensor:
    """Completions ids_BN (N <= max_new_tokens), eos kept, padding after it.

    Greedy at temperature 0. Stops as soon as every row has ended. `watch` sees every step's logits.
    """
    cache, start = prompts.start(model, hook)
    ids_BT, attention_BT = prompts.ids_BP[:, start:], prompts.attention_BP
    position_BT = _positions(attention_BT)[:, start:]
    ended_B = torch.zeros(len(prompts), dtype=torch.bool, device=ids_BT.device)
    new: list[torch.Tensor] = []
    for _ in range(max_new_tokens):
        first = ids_BT.shape[1] - 1
        with edited(model, hook, first):
            logits_BV = model(
                input_ids=ids_BT,
                attention_mask=attention_BT,
                position_ids=position_BT,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
        if watch is not None and new:
            watch.see(new[-1], logits_BV)
        next_B = _pick(logits_BV, temperature, generator).masked_fill(ended_B, pad_id)
        new.append(next_B)
        ended_B = ended_B | (next_B == eos_id)
        if bool(ended_B.all()):
            break
        ids_BT, position_BT = next_B[:, None], position_BT[:, -1:] + 1
        attention_BT = torch.cat([attention_BT, torch.ones_like(ids_BT)], dim=1)
    return torch.stack(new, dim=1)


@torch.inference_mode()
def forced_hidden(
    model: PreTrainedModel,
    prompts: Prompts,
    text_BN: torch.Tensor,
    text_mask_BN: torch.Tensor,
    hook: Hook | None = None,
) -> torch.Tensor:
    """Final hidden states (B, 1+N, d) of the last prompt token and a fixed text, padded right where the mask is 0."""
    cache, start = prompts.start(model, hook)
    ids_BT = torch.cat([prompts.ids_BP, text_BN], dim=1)[:, start:]
    attention_BT = torch.cat([prompts.attention_BP, text_mask_BN.to(prompts.attention_BP.dtype)], dim=1)
    first = prompts.ids_BP.shape[1] - 1 - start
    with edited(model, hook, first):
        hidden_BTd = model.model(
            input_ids=ids_BT,
            attention_mask=attention_BT,
            position_ids=_positions(attention_BT)[:, start:],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
    return hidden_BTd[:, first:]
