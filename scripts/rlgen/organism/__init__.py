"""The study whose cause of generalization is planted: language, authors, truth (docs/testbed.md)."""
