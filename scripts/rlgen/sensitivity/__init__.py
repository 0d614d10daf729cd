"""Does the finding depend on how one looks? Variants of a study's main procedure (docs/method.md, section 11)."""
