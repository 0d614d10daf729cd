"""Numbers and links as the pages show them: short, finite or absent, relative to the site's folder."""

import math
import os
from collections.abc import Iterable
from pathlib import Path

DIGITS = 4  # significant ones in the data behind the pages


def short(value: float | None) -> float | None:
    """A number with `DIGITS` significant digits; None where it is missing or infinite.

    >>> short(0.123456), short(float("nan")), short(123456.0)
    (0.1235, None, 123500.0)
    """
    return float(f"{value:.{DIGITS}g}") if value is not None and math.isfinite(value) else None


def shorts(values: Iterable[float | None]) -> list[float | None]:
    """Several of them."""
    return [short(value) for value in values]


def link(path: str | Path, site: str | Path) -> str:
    """The path of a file as a link on a page of the site, with slashes on every system."""
    return Path(os.path.relpath(path, site)).as_posix()


def shown(value: object, signed: bool = False) -> str:
    """A table's cell in words: two or three digits for a number, a dash for what is missing.

    >>> shown(0.12345), shown(0.5, signed=True), shown(float("nan")), shown(16), shown("rl"), shown(0.00012)
    ('0.123', '+0.500', '–', '16', 'rl', '1.2e-04')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, float):
        form = ".1e" if 0 < abs(value) < 5e-4 else ".3f"
        return f"{value:{'+' if signed else ''}{form}}"
    return str(value)
