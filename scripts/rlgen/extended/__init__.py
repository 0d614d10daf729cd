"""How many features, by which score, from which tasks? Sets that vary what one fixed (docs/method.md, section 12)."""
