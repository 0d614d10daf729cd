"""What is asked, and what counts as right (docs/method.md, section 2)."""
