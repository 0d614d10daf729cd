"""Who writes the solutions that SFT learns (docs/method.md, section 1)."""
