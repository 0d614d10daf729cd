"""How a text follows a prompt in tokens, the way lm-eval's models read it (HFLM 0.4.13, `_encode_pair`).

Prompt and text are tokenized together and split after as many tokens as the prompt has on its own, since a tokenizer
may join across the seam. A prompt that begins with the beginning of sequence, as chat templates write it, gets no
second one.
"""

import torch
from transformers import PreTrainedTokenizerFast

from rlgen.files import ArtifactError
from rlgen.models.generation import Prompts
from rlgen.models.passes import Padding, padded
from rlgen.tasks.samples import Sample

Ids = list[int]


def encode(tokenizer: PreTrainedTokenizerFast, text: str) -> Ids:
    """Tokens of a text from its beginning, with the tokenizer's own special tokens once."""
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    has_first = first is not None and text.startswith(tokenizer.decode(first))
    return tokenizer.encode(text, add_special_tokens=not has_first)


def encode_completion(tokenizer: PreTrainedTokenizerFast, prompt: str, completion: str) -> tuple[Ids, Ids]:
    """Tokens of a prompt as generation reads it, and of a completion after it."""
    ids = encode(tokenizer, prompt)
    return ids, encode(tokenizer, prompt + completion)[len(ids) :]


def encode_pair(tokenizer: PreTrainedTokenizerFast, prompt: str, continuation: str) -> tuple[Ids, Ids]:
    """Tokens of a prompt and of a choice after it: space at the prompt's end belongs to the choice.

    Raises ArtifactError where the choice has no token of its own, so that nothing could tell it from others.
    """
    stem = prompt.rstrip()
    pair = encode_completion(tokenizer, stem, prompt[len(stem) :] + continuation)
    if not all(pair):
        raise ArtifactError(
            f"prompt {prompt[-60:]!r} and choice {continuation!r}: expected a token or more of each in this tokenizer"
        )
    return pair


def encode_sample(tokenizer: PreTrainedTokenizerFast, sample: Sample, text: str) -> tuple[Ids, Ids]:
    """Tokens of a sample's prompt and of one of its choices, or of a completion where it has none."""
    return (encode_pair if sample.choices else encode_completion)(tokenizer, sample.prompt, text)


def encode_answer(
    tokenizer: PreTrainedTokenizerFast, prompt: str, completion: str, answer: str, ask: str
) -> tuple[Ids, Ids, int]:
    """Tokens of a prompt, of a completion's reasoning with `answer` after it, and how many of these are the answer's.

    The reasoning ends with the completion's last `ask`, or, where there is none, with one on a line of its own.
    """
    place = completion.rfind(ask)
    reasoning = completion[: place + len(ask)] if place >= 0 else f"{completion}\n{ask}"
    stem = reasoning.rstrip()
    ids, before = encode_completion(tokenizer, prompt, stem)
    _, whole = encode_completion(tokenizer, prompt, reasoning + answer)
    if len(whole) <= len(before):
        raise ArtifactError(f"answer {answer!r}: expected a token or more after {ask!r} in this tokenizer")
    return ids, before + whole[len(before) :], len(whole) - len(before)


def prompts_of(rows: list[Ids], device: torch.device | str = "cpu", padding: Padding | None = None) -> Prompts:
    """Tokenized prompts of mixed lengths, padded on the left; `padding` counts what is read of that."""
    ids_BP, attention_BP = padded(rows, "left").to(device), padded([[1] * len(ids) for ids in rows], "left").to(device)
    return Prompts(ids_BP, attention_BP, mixed=Padding("prompts and texts") if padding is None else padding)


def texts_of(rows: list[Ids], device: torch.device | str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """Tokenized texts text_NL, padded on the right, and their lengths (N,)."""
    return padded(rows).to(device), torch.tensor([len(ids) for ids in rows], device=device)
