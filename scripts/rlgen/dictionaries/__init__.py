"""Sparse crosscoders: objectives, training, quality on held-out rows (docs/method.md, section 4)."""
