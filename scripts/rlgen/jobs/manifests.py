"""Manifests: what every artifact was made of, so that a result can be traced and a broken file is named before use.

One JSON file per job in `results/{study}/manifests/`, named like the job's log. It holds what decides the outputs'
bytes and nothing else: script, settings, code digest, package versions, seed, SHA-256 of every input and output. Host
and wall time lie in a file beside it (`.run.json`), which nothing reads as data. `code/` holds, per code digest, the
modules behind it.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rlgen.files import ArtifactError, file_digest

FOLDER, CODE = "manifests", "code"
RUN = ".run.json"  # ending of the sidecar: host, start and wall time of the run
FIELDS = {
    **dict.fromkeys(["script", "code", "environment"], str),
    **dict.fromkeys(["cfg", "packages", "locked_otherwise", "inputs"], dict),
}


class Made(NamedTuple):
    """What a job wrote into its manifest about one of its outputs."""

    sha256: str
    bytes: int
    manifest: Path


def manifests(results: Path) -> Iterable[tuple[Path, dict]]:
    """Every readable manifest of a study, by its path. One that is broken vouches for nothing and is left out."""
    folder = results / FOLDER
    for path in sorted(folder.rglob("[!.]*.json")):  # a dot: left by a job that was killed while it wrote
        if path.name.endswith(RUN) or path.relative_to(folder).parts[0] == CODE:
            continue
        content = read(path)
        if content is not None:
            yield path, content


def read(path: Path, of_a_job_done: bool = True) -> dict | None:
    """A manifest, or what is noted beside the state of an unfinished job; None where there is none to be read."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    kinds = FIELDS | ({"outputs": dict} if of_a_job_done else {})
    if not isinstance(content, dict) or not all(isinstance(content.get(field), kinds[field]) for field in kinds):
        return None
    return content if all(map(_is_entry, content["outputs"].values() if of_a_job_done else ())) else None


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("sha256"), str) and isinstance(value.get("bytes"), int)


def outputs(paths: Iterable[str]) -> dict[str, dict]:
    """Path -> {"sha256", "bytes"} of files just written. Raises ArtifactError naming one that is missing."""
    found = {}
    for name in paths:
        try:
            found[name] = {"sha256": file_digest(name), "bytes": Path(name).stat().st_size}
        except OSError as error:
            raise ArtifactError(name, f"the job ended without it ({error.strerror})", "run the job again") from error
    return found


def whole(entries: dict[str, dict], names: Iterable[str]) -> bool:
    """Whether a manifest's outputs are these files, and all are there as they were written."""
    return entries.keys() == set(names) and all(
        Path(name).is_file() and Path(name).stat().st_size == entry["bytes"] and file_digest(name) == entry["sha256"]
        for name, entry in entries.items()
    )


def verified(inputs: Iterable[str], results: Path) -> dict[str, str]:
    """Path -> SHA-256 of a job's inputs, each compared with what the job that made it wrote.

    Raises ArtifactError naming the first file that is missing, cut short or altered since. A file that no manifest
    knows, as one that a person put there, is taken as it is.
    """
    wanted = list(inputs)
    made: dict[str, list[Made]] = {name: [] for name in wanted}
    for path, manifest in manifests(results):
        for name in made.keys() & manifest["outputs"].keys():
            made[name].append(Made(manifest["outputs"][name]["sha256"], manifest["outputs"][name]["bytes"], path))
    return {name: _verified(name, made[name]) for name in wanted}


def _verified(name: str, made: list[Made]) -> str:
    """SHA-256 of a file. Where a rule changed its name, manifests of both may list it: one has to fit."""
    path = Path(name)
    if not path.is_file():
        raise ArtifactError(name, "missing", "run snakemake again to rebuild it")
    size = path.stat().st_size
    if made and all(size != one.bytes for one in made):
        problem = f"{size} bytes, but {made[-1].bytes} were written ({made[-1].manifest}): cut short or replaced"
        raise ArtifactError(name, problem)
    found = file_digest(path)
    if made and all(found != one.sha256 for one in made):
        raise ArtifactError(name, f"its SHA-256 is not the one that was written ({made[-1].manifest}): altered since")
    return found
