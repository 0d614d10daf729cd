"""Checkpoints: `from_pretrained` folders, written whole and checked before they are used."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from rlgen.files import ArtifactError

CHECKPOINT_FILES = (
    "model.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


logging.disable_progress_bar()  # ours say what is going on


def save_checkpoint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write model and tokenizer beside `folder`, then move the files in, so that each appears whole.

    Raises ArtifactError, naming the folder, where they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
            model.save_pretrained(beside, max_shard_size=sys.maxsize)  # one file, however large
            tokenizer.save_pretrained(beside, save_jinja_files=False)  # a chat template goes into tokenizer_config.json
            for name in sorted(os.listdir(beside), key=weights_last):
                shutil.move(os.path.join(beside, name), folder / name)
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk in a class of its own
        remedy = "free some space or make it writable, then run the same command again"
        raise ArtifactError(folder, f"cannot be written ({error})", remedy) from error


def weights_last(name: str) -> tuple[bool, str]:
    """Order in which a checkpoint's files appear: one with weights has all the rest."""
    return name.endswith("model.safetensors"), name


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a checkpoint folder, padding on the left."""
    if not (Path(folder) / "tokenizer.json").exists():
        raise ArtifactError(f"{folder}: no tokenizer.json; expected a checkpoint folder with its tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.padding_side = "left"
    return tokenizer


def load_model(folder: Path, device: torch.device | str = "cpu") -> PreTrainedModel:
    """A checkpoint folder as a causal language model in eval mode, float32.

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
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.to(device).eval()


def blocks(model: PreTrainedModel) -> torch.nn.ModuleList:
    """The list of decoder blocks; block i's output is the residual stream that everything here reads and edits."""
    return model.model.layers
