"""Names that rules and library share: of files (checkpoint, dictionary, task, harvest), readouts and scores."""

from typing import Literal

CHECKPOINT_FILES = (
    "model.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
DICTIONARY_FILES = ("sae_weights.safetensors", "cfg.json", "normalisation.safetensors")
DOCS = ".docs.jsonl"  # a task's documents as lm-eval reads them: its name and this
MAPS = "maps.safetensors"  # beside a dictionary that some procedure reads by the readout `mapped`


def shard_name(index: int) -> str:
    """File name of shard `index`."""
    return f"shard{index:03d}.safetensors"


# Scores that rank latents together, over all tasks at once, and the score by which every task has a list of its own.
LISTED_BY = {"elimination": "attribution", "gates": "attribution"}

CRITICAL = "critical"  # the population of samples that choose features

Readout = Literal["swap", "own", "mapped"]  # how one model's activation of a latent is read (docs/method.md, section 7)
