"""The packages behind a result: pinned by requirements.lock, listed per environment in envs/, accepted where wished.

A rule carries a digest of its environment's versions among its parameters, so that another version makes its results
stale. Whoever knows that an update changes nothing can accept it: `accepted_packages.json` in the study's results then
says which new version counts as which old one, and the digest is that of the old.
"""

import json
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from rlgen.files import ArtifactError, digest, write_json
from rlgen.jobs.manifests import manifests

ACCEPTED = "accepted_packages.json"
ABSENT = "absent"  # in place of a version


class Change(NamedTuple):
    """A package of an environment in another version than some results were made with."""

    environment: str
    package: str
    made_with: str
    locked: str


@cache
def normal(package: str) -> str:
    """The canonical spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", package).lower()


def locked(root: Path) -> dict[str, str]:
    """Package -> version in requirements.lock."""
    return dict(_pins((root / "requirements.lock").read_text(encoding="utf-8")))


@cache
def _pins(text: str) -> dict[str, str]:
    pins = (line.split("==") for line in text.splitlines() if line and not line.startswith("#"))
    return {normal(name): number.strip() for name, number in pins}


def environment(root: Path, name: str) -> list[str]:
    """Packages of envs/{name}.yaml, those that others bring along included."""
    # Read line by line: the file is machine-made, and every job reads one.
    found = re.findall(r"^ +- ([\w.-]+)==", (root / f"envs/{name}.yaml").read_text(encoding="utf-8"), flags=re.M)
    return [normal(package) for package in found]


def versions(root: Path, name: str) -> dict[str, str]:
    """Package -> version of an environment, as locked."""
    pins, packages = locked(root), environment(root, name)
    for package in packages:
        if package not in pins:
            raise ArtifactError(f"envs/{name}.yaml", f"lists {package}, requirements.lock does not", "run `make lock`")
    return {package: pins[package] for package in packages}


def packages_digest(root: Path, name: str, results: Path) -> str:
    """Digest (16 characters) of an environment's versions, accepted updates counted as what they replace."""
    return digest(counted(versions(root, name), read_accepted(results).get(name, {})))[:16]


def counted(pins: dict[str, str], accepted: dict[str, dict[str, str]]) -> dict[str, str]:
    """Package -> the version that its version counts as; a package may have been accepted as new or as left out."""
    found = {p: counts_as(pins.get(p, ABSENT), accepted.get(p, {})) for p in pins.keys() | accepted.keys()}
    return {package: number for package, number in found.items() if number != ABSENT}


def counts_as(number: str, accepted: dict[str, str]) -> str:
    """The version that a version stands for, through any number of accepted updates."""
    while number in accepted:
        number = accepted[number]
    return number


def used(root: Path, name: str) -> dict[str, dict[str, str]]:
    """What a manifest tells about packages.

    `packages`: package -> version as this interpreter finds it, local labels such as +cpu left out.
    `locked_otherwise`: package -> locked version, where that is another one.
    """
    found = {}
    pins = versions(root, name)
    for package in pins:
        try:
            found[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            found[package] = ABSENT
    return {"packages": found, "locked_otherwise": {p: v for p, v in pins.items() if v != found[p]}}


def locked_for(manifest: dict) -> dict[str, str]:
    """Package -> version that was locked when a job ran: results go stale by these, whatever was installed."""
    return manifest["packages"] | manifest["locked_otherwise"]


def read_accepted(results: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Environment -> package -> new version -> the old version that it counts as."""
    path = results / ACCEPTED
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for packages in found.values():
            for package, same in packages.items():
                _check(package, same)
    except (OSError, ValueError, AttributeError) as error:
        raise ArtifactError(path, f"not readable ({error})", "mend it, or delete it to accept nothing") from error
    return found


def _check(package: str, same: dict[str, str]) -> None:
    """Raises ValueError for versions that count as each other, or are none."""
    for number in same:
        seen = [number]
        while seen[-1] in same:
            seen.append(same[seen[-1]])
            if not isinstance(seen[-1], str) or seen[-1] in seen[:-1]:
                raise ValueError(f"{package}: {' counts as '.join(map(str, seen))}")


def made_with(root: Path, results: Path) -> dict[tuple[str, str], dict[str, list[Path]]]:
    """(environment, package) -> version that was locked -> manifests of jobs whose results are still there."""
    found: dict[tuple[str, str], dict[str, list[Path]]] = {}
    now: dict[str, dict[str, str]] = {}
    for path, manifest in manifests(results):
        name = manifest["environment"]
        if not (root / f"envs/{name}.yaml").exists() or not any((root / n).exists() for n in manifest["outputs"]):
            continue
        now.setdefault(name, versions(root, name))
        before = locked_for(manifest)
        for package in before.keys() | now[name].keys():
            jobs = found.setdefault((name, package), {})
            jobs.setdefault(before.get(package, ABSENT), []).append(path)
    return dict(sorted(found.items()))


def changes(root: Path, results: Path) -> dict[Change, int]:
    """Changes that make results stale -> how many jobs made theirs with the old version."""
    accepted, made, found = read_accepted(results), made_with(root, results), {}
    now = {name: versions(root, name) for name in {name for name, _ in made}}
    for (name, package), jobs in made.items():
        new, same = now[name].get(package, ABSENT), accepted.get(name, {}).get(package, {})
        for old, paths in jobs.items():
            if counts_as(new, same) != counts_as(old, same):
                found[Change(name, package, old, new)] = len(paths)
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
    found, accepted, made = list(changes(root, results)), read_accepted(results), made_with(root, results)
    for change in found:
        same = accepted.setdefault(change.environment, {}).setdefault(change.package, {})
        jobs = made[change.environment, change.package]
        if len({counts_as(old, same) for old in jobs}) > 1:
            several = ", others with ".join(f"{old} (as {paths[0]} tells)" for old, paths in sorted(jobs.items()))
            raise ValueError(
                f"{change.package} ({change.environment}): some results were made with {several}, and "
                f"{change.locked} cannot stand for both; rebuild or delete some of them first"
            )
        same[change.locked] = counts_as(change.made_with, same)
    if found:
        write_json(results / ACCEPTED, accepted)
    return found
