"""Switching features off and on inside generation, beside every rival (docs/method.md, section 8)."""
