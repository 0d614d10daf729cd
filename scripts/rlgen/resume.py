"""What a killed run continues from: tensors and facts in a folder, written whole and checked before they are trusted.

Whoever runs a job hands it a folder that is keyed by the job's settings, code and data (`rlgen.jobs.run`), so that a
state in it always belongs to the run that finds it. A run without a folder keeps nothing.
"""

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError

from rlgen.files import ArtifactError, canonical_json, read_tensors, write_tensors

STATE = "state.safetensors"
EVERY_S = "RLGEN_STATE_S"  # environment variable: seconds between two states; of the machine, not of the study
DEFAULT_EVERY_S = 120.0


# How a full or read-only file system shows: torch and safetensors have classes of their own for it.
UNWRITABLE = (OSError, RuntimeError, SafetensorError)


class Keeper:
    """When a run keeps a state, at most every `every_s` seconds, and what follows where one cannot be written."""

    def __init__(self, folder: Path | None, every_s: float | None = None) -> None:
        self.folder = folder
        self.every_s = float(os.environ.get(EVERY_S, DEFAULT_EVERY_S)) if every_s is None else every_s
        self.last, self.failed = time.monotonic(), False

    def due(self) -> bool:
        """Whether it is time for another state."""
        return self.folder is not None and time.monotonic() - self.last >= self.every_s

    def keep(self, place: Path, write: Callable[[], None]) -> bool:
        """Write a state; whether it could be. A run loses nothing by a state it cannot write: it is told once."""
        try:
            write()
        except UNWRITABLE as error:
            if not self.failed:
                print(f"going on without a state: {place} cannot be written ({error})", file=sys.stderr)
            self.failed = True
            return False
        finally:
            self.last = time.monotonic()
        return True

    def sweep(self) -> None:
        """Remove what a killed process left half written: it would add up from kill to kill."""
        for left in self.folder.glob(".*") if self.folder is not None else []:
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                with suppress(OSError):  # where nothing can be removed, nothing can be kept either: `keep` tells
                    left.unlink()


class Resume(Keeper):
    """The state of one run as tensors and facts in one file."""

    def save(self, tensors: Mapping[str, torch.Tensor], facts: dict) -> None:
        """Replace the state by this one. `facts` are JSON values."""
        if self.folder is not None:
            self.keep(self.folder / STATE, lambda: self.write(tensors, facts))

    def write(self, tensors: Mapping[str, torch.Tensor], facts: dict) -> None:
        """The same where the state is what the run was for: raises what `write_tensors` raises."""
        content = canonical_json(facts)
        write_tensors(self.folder / STATE, tensors, {"facts": content, "checksum": _checksum(content, tensors)})

    def load(self) -> tuple[dict[str, torch.Tensor], dict] | None:
        """(tensors, facts) of the last state. None where there is none; a broken one is named and not used."""
        self.sweep()
        if self.folder is None or not (self.folder / STATE).exists():
            return None
        try:
            tensors, header = read_tensors(self.folder / STATE)
        except ArtifactError as error:
            return _refused(str(error))
        content = header.get("facts", "")
        if _checksum(content, tensors) != header.get("checksum"):
            return _refused(f"{self.folder / STATE}: its checksum does not hold")
        return tensors, json.loads(content)


def _checksum(facts: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the facts and of all tensors' bytes, in the order of their names, without one big copy."""
    found = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        found.update(tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


def _refused(problem: str) -> None:
    print(f"state not used, starting from the beginning: {problem}", file=sys.stderr)
