"""Why does RL generalize where SFT forgets? The library behind the workflow (arXiv 2604.25011)."""
