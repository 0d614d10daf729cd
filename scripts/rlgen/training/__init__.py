"""SFT and RL: checkpoints at equal shares, resumable to the same bytes (docs/method.md, section 1)."""
