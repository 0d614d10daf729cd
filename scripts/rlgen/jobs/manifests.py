"""Manifests: what every artifact was made of, so that a result can be traced and a broken file is named before use.

One JSON file per job in `results/{study}/manifests/`, named like the job's log. It holds what decides the outputs'
bytes and nothing else: script, settings, code digest, package versions, seed, SHA-256 of every input and output. Host,
wall time and the outputs' dates lie in a file beside it (`.run.json`), which nothing reads as data. `code/` holds, per
code digest, the modules behind it.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rlgen.digests import digest_of, digests_of, size_of
from rlgen.files import ArtifactError

FOLDER, CODE = "manifests", "code"
RUN = ".run.json"  # ending of the sidecar: host, start and wall time of the run, dates of what it wrote
FIELDS = {
    **dict.fromkeys(["script", "code", "environment"], str),
    **dict.fromkeys(["cfg", "packages", "locked_otherwise", "inputs"], dict),
}


class Made(NamedTuple):
    """What a job wrote into its manifest about one of its outputs."""

    sha256: str
    bytes: int
    manifest: Path


class Noted(NamedTuple):
    """What a job noted beside its manifest about its run."""

    dates: dict[str, int]  # of each output when it was written, ns
    again: list[str] | None  # inputs that its rule names again, once per further time
    wall_s: float | None  # seconds it took, to a tenth
    cpu_s: float | None  # seconds of processor time, of it and of what it started
    peak_mb: float | None  # largest memory of one of its processes, MiB


NOTHING_NOTED = Noted({}, None, None, None, None)


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
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    kinds = FIELDS | ({"outputs": dict} if of_a_job_done else {})
    if not isinstance(content, dict) or not all(isinstance(content.get(field), kinds[field]) for field in kinds):
        return None
    return content if all(map(_is_entry, content["outputs"].values() if of_a_job_done else ())) else None


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("sha256"), str) and isinstance(value.get("bytes"), int)


def outputs(paths: Iterable[str]) -> dict[str, dict]:
    """Path -> {"sha256", "bytes"} of files and folders just written. Raises ArtifactError naming a missing one."""
    names = list(paths)
    try:
        sizes = [size_of(name) for name in names]
        found = zip(digests_of(names), sizes, strict=True)
        return {name: {"sha256": sha256, "bytes": size} for name, (sha256, size) in zip(names, found, strict=True)}
    except OSError as error:
        problem = f"the job ended without it ({error.strerror})"
        raise ArtifactError(error.filename, problem, "run the job again") from error


def noted(manifest: Path) -> Noted:
    """What lies beside a manifest about its run, each fact by itself: earlier versions noted fewer of them."""
    try:
        found = json.loads(manifest.with_suffix(RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return NOTHING_NOTED
    if not isinstance(found, dict):
        return NOTHING_NOTED
    dates, again = found.get("written_ns"), found.get("inputs_again")
    numbers = (found.get(name) for name in ("wall_s", "cpu_s", "peak_mb"))
    return Noted(
        {name: date for name, date in dates.items() if isinstance(date, int)} if isinstance(dates, dict) else {},
        list(map(str, again)) if isinstance(again, list) else None,
        *(float(number) if isinstance(number, int | float) else None for number in numbers),
    )


def runs(folder: Path) -> Iterable[tuple[Path, Noted]]:
    """What the jobs noted whose manifests lie in a folder, by the manifest's path."""
    for path in sorted(folder.rglob(f"[!.]*{RUN}")):
        manifest = path.with_name(path.name.removesuffix(RUN) + ".json")
        yield manifest, noted(manifest)


def whole(entries: dict[str, dict], names: Iterable[str]) -> bool:
    """Whether a manifest's outputs are these files, and all are there as they were written."""
    return entries.keys() == set(names) and all(
        Path(name).exists() and size_of(name) == entry["bytes"] and digest_of(name) == entry["sha256"]
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
    for name in wanted:  # what can be seen without reading comes first
        _check_size(name, made[name])
    found = dict(zip(wanted, digests_of(wanted), strict=True))
    for name in wanted:
        _check_digest(name, found[name], made[name])
    return found


def _check_size(name: str, made: list[Made]) -> None:
    """Refuse a missing or cut file. Where a rule changed its name, manifests of both may list it: one has to fit."""
    path = Path(name)
    if not path.is_file():
        raise ArtifactError(name, "missing", "run snakemake again to rebuild it")
    size = path.stat().st_size
    if made and all(size != one.bytes for one in made):
        problem = f"{size} bytes, but {made[-1].bytes} were written ({made[-1].manifest}): cut short or replaced"
        raise ArtifactError(name, problem)


def _check_digest(name: str, found: str, made: list[Made]) -> None:
    """Refuse an altered file."""
    if made and all(found != one.sha256 for one in made):
        raise ArtifactError(name, f"its SHA-256 is not the one that was written ({made[-1].manifest}): altered since")
