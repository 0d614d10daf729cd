"""Names of files inside a checkpoint and a harvest, for rules and library alike."""

CHECKPOINT_FILES = (
    "model.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def shard_name(index: int) -> str:
    """File name of shard `index`."""
    return f"shard{index:03d}.safetensors"
