"""Numbers and outcomes as all pages print them."""

import numpy as np


def count(seeds: list[int]) -> str:
    """How many seeds, in words."""
    return "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"


def in_each(n: int) -> str:
    """` in each of 3 seeds`; nothing where there is but one."""
    return f" in each of {n} seeds" if n > 1 else ""


def ahead(names: tuple[str, str], does: str, neither: str, counts: tuple[int, int], n: int) -> str:
    """Which of two is ahead over n seeds, in words; counts: seeds in which each of them is."""
    for name, seeds in zip(names, counts, strict=True):
        if n and seeds == n:
            return f"{name} {does}{in_each(n)}"
    if not any(counts):
        return neither
    one, other = (seeds or "none" for seeds in counts)
    return f"{names[0]} {does} in {one} of {n} seeds, {names[1]} in {other}"


def share(value: float) -> str:
    """A share as the pages print it: .26, 1.0, -.04; a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    text = f"{round(value, 2) + 0.0:.2f}"  # + 0.0: no minus before a zero
    return "1.0" if text == "1.00" else text.replace("0.", ".", 1)


def change(value: float) -> str:
    """A change with its sign: +.34, −.12."""
    return "–" if not np.isfinite(value) else ("+" if round(value, 2) >= 0 else "−") + share(abs(value))
