"""What changed between two manifests, in words."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlgen.files import canonical_json
from rlgen.jobs.manifests import CODE, FOLDER

SHOWN = 4  # differences of one kind that are spelt out


def differences(before: dict, after: dict, results: Path) -> list[str]:
    """Lines such as `recipe.k was 8, is 16`, from settings to packages to code to inputs."""
    found = [f"{field} was {_short(a)}, is {_short(b)}" for field, a, b in changed(before["cfg"], after["cfg"])]
    found += packages_changed(before["packages"], after["packages"])
    if before["code"] != after["code"]:
        found += code_changed(before["code"], modules(results, after["code"]), results)
    found += [f"{name} has other content" for name, *_ in changed(before["inputs"], after["inputs"])]
    found = found or ["its script, environment or locked versions changed"]  # no other rule has the same log
    return found[:SHOWN] + ([f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])


def packages_changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Lines such as `torch was 2.12.0, is 2.13.0`."""
    return [f"{name} was {a or 'not used'}, is {b or 'not used'}" for name, a, b in changed(before, after)]


def code_changed(before: str, after: dict[str, str] | None, results: Path) -> list[str]:
    """Lines such as `rlgen.files was edited`; `after` maps modules to digests, `before` is a code digest."""
    old = modules(results, before)
    if old is None or after is None:
        return ["the code was edited"]
    lines = [
        f"{name} {'is new' if a is None else 'is no longer used' if b is None else 'was edited'}"
        for name, a, b in changed(old, after)
    ]
    return lines or ["the way that code is tracked changed"]


def modules(results: Path, code: str) -> dict[str, str] | None:
    """Module -> digest behind a code digest, as noted by the first job that ran it."""
    try:
        found = json.loads((results / FOLDER / CODE / f"{code}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def changed(before: Any, after: Any, field: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(field, old, new) of every leaf in which two JSON values differ; None where one lacks it. Lists are leaves.

    Yields nothing exactly where the canonical texts are the same: 1 and 1.0 differ, and so do null and nothing.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            name = f"{field}.{key}" if field else key
            if key in before and key in after:
                yield from changed(before[key], after[key], name)
            else:
                yield name, before.get(key), after.get(key)
    elif canonical_json(before) != canonical_json(after):
        yield field, before, after


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
