"""Names that rules and library share: files of a checkpoint, a dictionary and a harvest; scores of latents."""

CHECKPOINT_FILES = (
    "model.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
DICTIONARY_FILES = ("sae_weights.safetensors", "cfg.json", "normalisation.safetensors")


def shard_name(index: int) -> str:
    """File name of shard `index`."""
    return f"shard{index:03d}.safetensors"


# Scores that rank latents together, over all tasks at once, and the score by which every task has a list of its own.
LISTED_BY = {"elimination": "attribution", "gates": "attribution"}
