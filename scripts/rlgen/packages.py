"""The packages behind a result: pinned by requirements.lock, listed per environment in envs/, accepted where wished.

A rule carries a digest of its environment's versions among its parameters, so that another version makes its results
stale. Whoever knows that an update changes nothing can accept it: `accepted_packages.json` in the study's results then
says which new version counts as which old one, and the digest is that of the old.
"""

import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from rlgen.files import ArtifactError, digest, write_json
from rlgen.manifests import manifests

ACCEPTED = "accepted_packages.json"


class Change(NamedTuple):
    """A package of an environment in another version than some results were made with."""

    environment: str
    package: str
    made_with: str
    locked: str


def normal(package: str) -> str:
    """The canonical spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", package).lower()


def locked(root: Path) -> dict[str, str]:
    """Package -> version in requirements.lock."""
    lines = (root / "requirements.lock").read_text().splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normal(name): number.strip() for name, number in pins}


def environment(root: Path, name: str) -> list[str]:
    """Packages of envs/{name}.yaml, those that others bring along included."""
    # Read line by line: the file is machine-made, and every job reads one.
    found = re.findall(r"^ +- ([\w.-]+)==", (root / f"envs/{name}.yaml").read_text(), flags=re.M)
    return [normal(package) for package in found]


def versions(root: Path, name: str) -> dict[str, str]:
    """Package -> version of an environment, as locked."""
    pins = locked(root)
    return {package: pins[package] for package in environment(root, name)}


def packages_digest(root: Path, name: str, results: Path) -> str:
    """Digest (16 characters) of an environment's versions, accepted updates counted as what they replace."""
    return digest(counted(versions(root, name), read_accepted(results).get(name, {})))[:16]


def counted(pins: dict[str, str], accepted: dict[str, dict[str, str]]) -> dict[str, str]:
    """Package -> the version that its version stands for."""
    return {package: counts_as(number, accepted.get(package, {})) for package, number in pins.items()}


def counts_as(number: str, accepted: dict[str, str]) -> str:
    """The version that a version stands for, through any number of accepted updates."""
    while number in accepted:
        number = accepted[number]
    return number


def installed(root: Path, name: str) -> dict[str, str]:
    """Package -> version of an environment, as this interpreter finds them; local labels such as +cpu are left out."""
    found = {}
    for package in environment(root, name):
        try:
            found[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def read_accepted(results: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Environment -> package -> new version -> the old version that it counts as."""
    path = results / ACCEPTED
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ArtifactError(path, f"not readable ({error})", "mend it, or delete it to accept nothing") from error


def changes(root: Path, results: Path) -> dict[Change, int]:
    """Changes that make results stale -> how many jobs made theirs with the old version."""
    found: dict[Change, int] = {}
    accepted = read_accepted(results)
    known: dict[str, dict[str, str]] = {}
    for _, manifest in manifests(results):
        name = manifest["environment"]
        now = known.setdefault(name, versions(root, name))
        for package, old in manifest["packages"].items():
            new, same = now.get(package, "no longer used"), accepted.get(name, {}).get(package, {})
            if counts_as(new, same) != counts_as(old, same):
                change = Change(name, package, old, new)
                found[change] = found.get(change, 0) + 1
    return found


def announcement(root: Path, results: Path) -> list[str]:
    """What another version of a package does to a study's results, one line per change, and how to keep them."""
    found = changes(root, results)
    lines = [
        f"{c.package} was {c.made_with}, now {c.locked}: stale is what {n} jobs in environment {c.environment} made"
        for c, n in found.items()
    ]
    return [*lines, "To keep these results as they are instead: make accept-packages"] if lines else []


def accept(root: Path, results: Path) -> list[Change]:
    """Count every locked version as the one that results were made with; returns what was accepted.

    Raises ValueError where results were made with several versions of one package: no single one can stand for them.
    """
    found, accepted = list(changes(root, results)), read_accepted(results)
    for change in found:
        same = accepted.setdefault(change.environment, {}).setdefault(change.package, {})
        old = counts_as(change.made_with, same)
        if same.setdefault(change.locked, old) != old:
            raise ValueError(
                f"{change.package} ({change.environment}): some results were made with {same[change.locked]}, others "
                f"with {old}, and {change.locked} cannot stand for both; rebuild some of them first"
            )
    if found:
        write_json(results / ACCEPTED, accepted)
    return found
