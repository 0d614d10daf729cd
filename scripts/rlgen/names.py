"""Names of files inside a checkpoint, a dictionary and a harvest, for rules and library alike."""

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
