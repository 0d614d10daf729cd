"""Messages as text, and text as token ids, by the tokenizer's own rules: one place decides about <bos>."""

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from rlgen.files import ArtifactError

Message = dict[str, str]  # {"role": "user", "content": "..."}


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
