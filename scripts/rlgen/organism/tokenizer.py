"""A word-level tokenizer for languages that are lists of words."""

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from rlgen.strict import Strict


class MakeTokenizer(Strict):
    """The slice that `scripts/data/make_tokenizer.py` receives."""

    families: list[str]


def build(words: list[str], bos: str, eos: str, pad: str) -> PreTrainedTokenizerFast:
    """One id per word, split at white space, <bos> put first by the tokenizer itself, padding on the left.

    The post-processor adds <bos> so that every reader of the checkpoint (lm-eval among them) sees the same ids.
    """
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, words.index(bos))])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=bos, eos_token=eos, pad_token=pad, padding_side="left", model_max_length=1024
    )


def save(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
