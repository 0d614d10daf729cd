"""Checkpoints: `from_pretrained` folders, written whole and checked before they are used."""

import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from rlgen.files import ArtifactError, move

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}  # name in a safetensors file -> dtype
OF_NO_CLASS = ("TokenizersBackend", "PreTrainedTokenizerFast")  # what transformers 5 and 4 call such a tokenizer


logging.disable_progress_bar()  # ours say what is going on


def save_checkpoint(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    dtype: torch.dtype | None = None,
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write model and tokenizer beside `folder`, then move the files in, so that each appears whole.

    `dtype` is that of the file (the model's own without it); `weights` are all of the model's where it holds only a
    part of them. Raises ArtifactError, naming the folder, where they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
            if weights is None and dtype in (None, model.dtype):
                model.save_pretrained(beside, max_shard_size=sys.maxsize)  # one file, however large
            else:
                _save_as(model, dtype or model.dtype, weights, beside)
            tokenizer.save_pretrained(beside, save_jinja_files=False)  # a chat template goes into tokenizer_config.json
            for name in sorted(os.listdir(beside), key=weights_last):
                move(os.path.join(beside, name), folder / name)
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk in a class of its own
        remedy = "free some space or make it writable, then run the same command again"
        raise ArtifactError(folder, f"cannot be written ({error})", remedy) from error


def _save_as(model: PreTrainedModel, dtype: torch.dtype, weights: dict[str, torch.Tensor] | None, folder: str) -> None:
    """Write model.safetensors and configuration with the weights in another dtype, or with these weights."""
    tied = getattr(model, "all_tied_weights_keys", {})  # copies of others: loading ties them again
    cast = {
        name: tensor.detach().to("cpu", dtype) if tensor.is_floating_point() else tensor.detach().cpu()
        for name, tensor in (model.state_dict() if weights is None else weights).items()
        if name not in tied
    }
    model.save_pretrained(folder, state_dict=cast, max_shard_size=sys.maxsize)
    before, model.config.dtype = model.config.dtype, dtype  # saving has written the dtype that the model has here
    model.config.save_pretrained(folder)
    model.config.dtype = before


def weights_last(name: str) -> tuple[bool, str]:
    """Order in which a checkpoint's files appear: one with weights has all the rest."""
    return name.endswith("model.safetensors"), name


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a checkpoint folder, padding on the left."""
    if not (Path(folder) / "tokenizer.json").exists():
        raise ArtifactError(f"{folder}: no tokenizer.json; expected a checkpoint folder with its tokenizer")
    tokenizer = tokenizer_class(folder).from_pretrained(folder, local_files_only=True)
    tokenizer.padding_side = "left"
    return tokenizer


def tokenizer_class(folder: Path) -> type[AutoTokenizer] | type[PreTrainedTokenizerFast]:
    """What reads a folder's tokenizer.

    One of no class of its own is read as its file says: for some kinds of model, Qwen2 among them, transformers would
    take that kind's rules and add its tokens.
    """
    settings = Path(folder) / "tokenizer_config.json"
    named = json.loads(settings.read_text(encoding="utf-8")).get("tokenizer_class") if settings.exists() else None
    return PreTrainedTokenizerFast if named in OF_NO_CLASS else AutoTokenizer


def check_weights(folder: Path) -> Path:
    """The weights of a checkpoint folder, of which only the header is read.

    Raises ArtifactError, naming the folder, where weights are missing or cut short: transformers would otherwise
    report a missing file of another format.
    """
    weights = Path(folder) / "model.safetensors"
    if not weights.exists():
        raise ArtifactError(
            f"{folder}: no model.safetensors; expected a checkpoint folder with weights, rebuild that file"
        )
    try:
        with safe_open(weights, framework="pt") as handle:
            if not handle.keys():
                raise ArtifactError(f"{weights}: holds no tensors; delete it and run the same command again")
    except SafetensorError as error:
        raise ArtifactError(f"{weights}: cannot be read ({error}); delete it and run the same command again") from error
    return weights


def weights_dtype(folder: Path) -> torch.dtype:
    """The dtype of most of a checkpoint's tensors. Raises ArtifactError where weights are missing or quantised."""
    weights = check_weights(folder)
    with safe_open(weights, framework="pt") as handle:
        found = Counter(handle.get_slice(name).get_dtype() for name in handle.keys())  # noqa: SIM118 (not a dict)
    name = found.most_common(1)[0][0]
    if name not in DTYPES:
        raise ArtifactError(f"{weights}: most tensors are {name}, expected one of {', '.join(DTYPES)}")
    return DTYPES[name]


def load_model(folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> PreTrainedModel:
    """A checkpoint folder as a causal language model in eval mode, in the dtype of its weights or in another.

    Raises ArtifactError, naming the folder, where weights are missing or cut short.
    """
    check_weights(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype or "auto", local_files_only=True)
    return model.to(device).eval()


def blocks(model: PreTrainedModel) -> torch.nn.ModuleList:
    """The list of decoder blocks; block i's output is the residual stream that everything here reads and edits."""
    return model.model.layers
