"""What the engine knows of finished jobs, restored from their manifests: its records, and the dates of files.

Snakemake compares settings with its own records in .snakemake/, which do not come along when results are copied,
archived or cleaned; without one it calls whatever lies there up to date. And it takes a file of more than 1 MB for new
when its date is, though a copy or a `touch` made it so. The manifests lie with the results and know better.
"""

import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rlgen.files import canonical_json, digest, file_digest
from rlgen.jobs import manifests, packages
from rlgen.jobs.claims import LOCKS, taken

if TYPE_CHECKING:
    from snakemake.rules import Rule

SHORTEST_S = 0.05  # of a job that noted no tenth of a second: a report has a log axis
READERS = 8  # files whose content is compared at a time


class Misdated(NamedTuple):
    """A file whose date is not that of its making."""

    path: Path
    sha256: str
    written: int  # date of its making, ns


def restore(rules: "Iterable[Rule]", results: Path) -> list[str]:
    """Give the engine back what it lacks about a study's results, before it looks; notes for the user."""
    found = list(manifests.manifests(results))
    records, dated = write_records(found, rules, results), redate(found, results)
    notes = [f"The engine's records of {records} files were missing: restored from their manifests."] if records else []
    if dated:
        notes.append(f"{dated} files are newer than when they were written, with the same content: dated back.")
    return notes


# Records.


def write_records(found: list[tuple[Path, dict]], rules: "Iterable[Rule]", results: Path) -> int:
    """Write a record for each output that has a manifest and none; returns how many."""
    from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
    from snakemake.persistence.file import FilePersistence

    records, rule_of, written = FilePersistence(), _rule_by_log(rules), 0
    makers = {name: manifest for _, manifest in found for name in manifest["outputs"]}
    for path, manifest in found:
        missing = [name for name in manifest["outputs"] if records._read_record(name) is None and os.path.exists(name)]
        log = results / "logs" / path.relative_to(results / manifests.FOLDER).with_suffix(".log")
        rule = rule_of(str(log)) if missing else None
        if rule is None:
            continue
        noted = manifests.noted(path)
        record = MetadataRecord(
            rule=rule.name,
            input=None if noted.again is None else sorted([*manifest["inputs"], *noted.again]),  # None: not compared
            params=sorted(map(repr, _params(rule, manifest, makers, results))),
            record_format_version=RECORD_FORMAT_VERSION,
            incomplete=False,
            job_hash=int(digest(str(path))[:12], 16),  # of the job's outputs alone: a report adds up by it
        )
        for name in missing:
            record.starttime, record.endtime = _times(name, noted)
            records._write_record(name, record)
        written += len(missing)
    return written


def _times(name: str, noted: manifests.Noted) -> tuple[float | None, float | None]:
    """When the job of a file began and when it wrote the file, for the engine's report; None where it is not known."""
    if name not in noted.dates or noted.wall_s is None:
        return None, None
    written = noted.dates[name] / 1e9
    return written - max(noted.wall_s, SHORTEST_S), written


def _rule_by_log(rules: "Iterable[Rule]") -> "Callable[[str], Rule | None]":
    """A function from a log's path to the rule that has it. Ordered as the engine's choice is, most special first."""
    known = [
        (re.compile(rule.log[0].regex()), rule) for rule in rules if rule.log and "cfg" in dict(rule.params.items())
    ]
    return lambda log: next((rule for pattern, rule in known if pattern.fullmatch(log)), None)


def _params(rule: "Rule", manifest: dict, makers: dict[str, dict], results: Path) -> list:
    """The parameters that a rule's job ran with: what its manifest tells, and what is fixed per rule.

    A parameter that is named like a script is that one's code, as it was when it made this job's inputs.
    """
    fixed = {name: value for name, value in rule.params.items() if not callable(value)}
    for name in manifest["inputs"]:
        maker = makers.get(name)
        if maker is not None and maker["script"] in fixed:
            fixed[maker["script"]] = maker["code"]
    environment = manifest["environment"]
    pins = packages.counted(packages.locked_for(manifest), packages.read_accepted(results).get(environment, {}))
    told = {"cfg": canonical_json(manifest["cfg"]), "code": manifest["code"], "packages": digest(pins)[:16]}
    return list((fixed | told).values())


# Dates.


def redate(found: list[tuple[Path, dict]], results: Path) -> int:
    """Date files back to when they were written, where their content is what was written then; returns how many.

    Looks at contents only where an input is newer than what was made of it: then something has changed dates, and
    those that changed are compared with their manifests. What differs keeps its date, and what a job is at work on.
    """
    if not any(_newer_input(manifest) for _, manifest in found):
        return 0
    files = [file for path, manifest in found if not _at_work(path, results) for file in _misdated(path, manifest)]
    with ThreadPoolExecutor(READERS) as threads:
        return sum(threads.map(_redated, files))


def _at_work(path: Path, results: Path) -> bool:
    """Whether the job of a manifest runs again just now."""
    lock = results / LOCKS / path.relative_to(results / manifests.FOLDER).with_suffix(".lock")
    try:
        with open(lock, "r+", encoding="utf-8") as file:
            return not taken(file)
    except OSError:
        return False


def _newer_input(manifest: dict) -> bool:
    outputs = [date for date in map(_date, manifest["outputs"]) if date is not None]
    return bool(outputs) and any((_date(name) or 0) > min(outputs) for name in manifest["inputs"])


def _misdated(path: Path, manifest: dict) -> list[Misdated]:
    """The outputs of a job that have another date than the job noted."""
    dates = manifests.noted(path).dates
    entries = [Misdated(Path(name), entry["sha256"], dates.get(name)) for name, entry in manifest["outputs"].items()]
    return [entry for entry in entries if entry.written is not None and _date(entry.path) not in (None, entry.written)]


def _redated(file: Misdated) -> bool:
    """Whether a file was as it was written, and now has its date again. One of another owner cannot be dated."""
    with suppress(OSError):
        before = os.stat(file.path)
        if file_digest(file.path) == file.sha256 and os.path.samestat(before, os.stat(file.path)):
            os.utime(file.path, ns=(before.st_atime_ns, file.written))
            return True
    return False


def _date(path: str | Path) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None
