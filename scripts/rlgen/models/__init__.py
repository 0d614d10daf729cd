"""A model: stored, run, read and edited at a block; what it writes and what that costs (docs/method.md, section 1)."""
