"""The residual stream: which tokens are read, and the aligned rows of all models (docs/method.md, section 3)."""
