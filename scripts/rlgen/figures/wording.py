"""Numbers and outcomes as all pages print them."""

import numpy as np


def count(seeds: list[int]) -> str:
    """How many seeds, in words."""
    return "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"


def in_each(n: int) -> str:
    """` in each of 3 seeds`; nothing where there is but one."""
    return f" in each of {n} seeds" if n > 1 else ""


def share(value: float) -> str:
    """A share as the pages print it: .26, 1.0, -.04; a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    text = f"{round(value, 2) + 0.0:.2f}"  # + 0.0: no minus before a zero
    return "1.0" if text == "1.00" else text.replace("0.", ".", 1)


def change(value: float) -> str:
    """A change with its sign: +.34, −.12."""
    return "–" if not np.isfinite(value) else ("+" if round(value, 2) >= 0 else "−") + share(abs(value))
