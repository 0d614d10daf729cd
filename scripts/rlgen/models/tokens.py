"""Messages as text, and text as token ids, by the tokenizer's own rules: one place decides about <bos>."""

from collections.abc import Callable

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from rlgen.files import ArtifactError

Message = dict[str, str]  # {"role": "user", "content": "..."}


def lost(messages: list[Message], text: str) -> str | None:
    """The text of the first message that its rendering leaves out, white space aside; None where all is there.

    Some templates cut reasoning out of what an assistant wrote. Turns are looked for one after the other, a system
    prompt anywhere: templates put it where they like.
    """
    shown, place = "".join(text.split()), 0
    for message in messages:
        wanted = "".join(message["content"].split())
        found = shown.find(wanted, 0 if message["role"] == "system" else place)
        if found < 0:
            return message["content"]
        if message["role"] != "system":
            place = found + len(wanted)
    return None


def check_kept(tokenizer: PreTrainedTokenizerBase, messages: list[Message], text: str) -> None:
    """Raises ArtifactError, naming the tokenizer's folder, where a rendering leaves out text of a message."""
    missing = lost(messages, text)
    if missing is not None:
        problem = f"its chat template leaves out text of a message ({missing[:60]!r})"
        raise ArtifactError(tokenizer.name_or_path or "tokenizer", problem, KEEP)


KEEP = "take a template that prints all of a message, or texts without what it cuts (such as <think>)"


def render(tokenizer: PreTrainedTokenizerBase, messages: list[Message], add_generation_prompt: bool) -> str:
    """The text of a conversation by the tokenizer's chat template; it may begin with <bos> already.

    Raises ArtifactError, naming the tokenizer's folder, where it has no template or the template refuses the messages.
    """
    folder = tokenizer.name_or_path or "tokenizer"
    if not tokenizer.chat_template:
        remedy = "take a model with a template, or put a chat_template into its tokenizer_config.json"
        raise ArtifactError(folder, "the tokenizer has no chat template", remedy)
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        remedy = "use the roles that it knows"
        raise ArtifactError(folder, f"its chat template refuses the roles {roles} ({error})", remedy) from error


def encode_prompts(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Token ids of prompts, unpadded. What the tokenizer adds by itself is added once.

    A text that begins with <bos>, as chat templates may write it, is taken as it is; any other gets the tokenizer's
    special tokens. Models read a second <bos> without an error and answer worse.
    """
    bos = tokenizer.bos_token
    complete = [bool(bos) and text.startswith(bos) for text in texts]
    return [
        tokenizer(text, add_special_tokens=not whole)["input_ids"] for text, whole in zip(texts, complete, strict=True)
    ]


def reader(tokenizer: PreTrainedTokenizerBase) -> Callable[[list[int]], str]:
    """What turns token ids into the text that they stand for, special tokens and all spaces included.

    A token that holds part of a character shows it as U+FFFD.
    """
    return lambda ids: tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
