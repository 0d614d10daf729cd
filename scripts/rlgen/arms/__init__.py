"""Other ways to post-train, beside RL and SFT: how far each moves, and whether that says who generalizes."""
