"""Models in GGUF files: config, tokenizer and weights as transformers reads them, the weights dequantised to float32.

llama.cpp names the rule by which a byte-level tokenizer cuts text into words, in `tokenizer.ggml.pre`. transformers
follows some of these and takes GPT-2's for all others, which gives other tokens where a rule cuts numbers or spaces in
its own way. The rules of `DIGITS` are added here; a name that neither knows is refused.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from rlgen.files import ArtifactError, first_line
from rlgen.models.gguf_header import ANOTHER, Header, check_reader

GPT2 = {"gpt-2", "phi-2", "olmo", "mpt"}  # words are cut as GPT-2 does
DIGITS = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"}  # each digit alone, then as GPT-2 does


def read_config(header: Header) -> PretrainedConfig:
    """The configuration that a GGUF file describes. Raises ArtifactError for an architecture that cannot be read."""
    check_reader()
    try:
        with _alone(header) as place:
            config = AutoConfig.from_pretrained(**place)
        config.architectures = [_class_of(config)]
    except Exception as error:  # whatever a header may say
        problem = f"architecture {header.architecture!r} cannot be read from a GGUF file ({first_line(error)})"
        raise ArtifactError(header.path, problem, "take a model of another architecture, or its checkpoint") from error
    vars(config).pop("_model_name_or_path", None)  # the header's `general.name`, which names no place
    return config


def _class_of(config: PretrainedConfig) -> str:
    return AutoModelForCausalLM._model_mapping[type(config)].__name__


def read_gguf_tokenizer(header: Header) -> PreTrainedTokenizerBase:
    """The tokenizer of a GGUF file, its chat template with it. Raises ArtifactError for one that cannot be read."""
    check_reader()
    kind, rule = (header.fields.get(f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    known = {*GPT2, *DIGITS, *GGUF_PRE_TOKENIZER_SPLITS}
    if kind == "gpt2" and rule not in known:
        problem = f"its tokenizer cuts words by rule {rule!r} (tokenizer.ggml.pre), expected {', '.join(sorted(known))}"
        raise ArtifactError(header.path, problem, ANOTHER)
    try:
        with _alone(header) as place:
            tokenizer = AutoTokenizer.from_pretrained(**place)
    except Exception as error:
        raise ArtifactError(header.path, f"its tokenizer cannot be read ({first_line(error)})", ANOTHER) from error
    tokenizer.name_or_path = str(header.path)  # for messages
    if kind == "gpt2" and rule in DIGITS:
        parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    return tokenizer


def load_gguf(header: Header, config: PretrainedConfig) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model in float32, as if it had never been quantised, and what transformers tells of its weights.

    Takes 8 bytes of memory per weight. Raises ArtifactError where the weights cannot be read.
    """
    check_reader()
    try:
        with _alone(header) as place:
            read, told = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32, output_loading_info=True)
    except Exception as error:
        raise ArtifactError(header.path, f"its weights cannot be read ({first_line(error)})", ANOTHER) from error
    # What was read is marked as quantised and refuses to be saved, so its weights go into a model that is not.
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.generation_config.eos_token_id = ends(header)
    return model, told


def ends(header: Header) -> int | list[int] | None:
    """Tokens that end a text or a turn: generation stops at any of them."""
    found = [header.fields.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")]
    several = sorted({number for number in found if number is not None})
    return several if len(several) > 1 else (several or [None])[0]


@contextmanager
def _alone(header: Header) -> Iterator[dict[str, Any]]:
    """Arguments that name the file in a folder without others: transformers would heed settings that lie beside it."""
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(header.path.absolute(), os.path.join(folder, "model.gguf"))
        place = {"pretrained_model_name_or_path": folder, "gguf_file": "model.gguf"}
        yield place | {"local_files_only": True, "trust_remote_code": False}
