"""What a killed SFT or GRPO continues from: a folder of the Trainer's own and the checkpoints finished before it.

A state counts when its list of files, written last, holds: SHA-256 of every file of the trainer and of every finished
checkpoint. A kill while saving or a flipped bit is so noticed, and the state before it is used.

Where several processes train together, each writes its part of a state, the first one lists and checks all of it, and
what it decides holds for all.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from transformers import Trainer

from rlgen.files import atomic_path, file_digest, write_json
from rlgen.models.checkpoints import weights_last
from rlgen.names import CHECKPOINT_FILES
from rlgen.resume import Keeper
from rlgen.training import processes

TRAINER = "trainer"  # folder of the trainer's states within the folder of the run's state
FILES = "files.json"
KEPT = 2  # states: the one before the last serves where the last is broken


class TrainerStates(Keeper):
    """States of one run of a Trainer in `folder`: trainer/checkpoint-STEP/, beside the checkpoints of the study."""

    def __init__(self, folder: Path | None, every_s: float | None = None) -> None:
        super().__init__(folder, every_s)
        self.open = folder is not None
        self.finished: dict[str, str] = {}  # file of a finished checkpoint, relative to the folder -> SHA-256

    def due(self) -> bool:
        """Whether it is time for another state."""
        return processes.told(self.open and super().due())

    def newest(self) -> str | None:
        """The last whole state, for `resume_from_checkpoint`. Broken ones are named and removed."""
        return processes.told(self._newest() if processes.first() else None)

    def _newest(self) -> str | None:
        self.sweep()
        for place in reversed(self._places()):
            problem = self._problem(place)
            if problem is None:
                listed = json.loads((place / FILES).read_text(encoding="utf-8"))
                self.finished = {name: sha for name, sha in listed.items() if not name.startswith(f"{TRAINER}/")}
                return str(place)
            print(f"state not used, continuing from an earlier one or the beginning: {problem}", file=sys.stderr)
            shutil.rmtree(place, ignore_errors=True)
        return None

    def save(self, trainer: Trainer, model: torch.nn.Module, trial: None) -> None:
        """Stands in for the trainer's `_save_checkpoint`."""
        place = self.folder / TRAINER / f"checkpoint-{trainer.state.global_step}"

        def write() -> None:
            trainer.args.output_dir = str(place.parent)
            Trainer._save_checkpoint(trainer, model, trial)

        def list_files() -> None:
            files = {str(file.relative_to(self.folder)): file_digest(file) for file in _files(place)}
            write_json(place / FILES, self.finished | files)

        if processes.first():
            shutil.rmtree(place, ignore_errors=True)
        processes.wait()
        kept = all(processes.gathered([self.keep(place, write)]))
        if processes.first():
            kept = kept and self.keep(place, list_files)
            for unneeded in self._places()[:-KEPT] if kept else [place]:
                shutil.rmtree(unneeded, ignore_errors=True)

    def finish(self, checkpoint: str) -> None:
        """Note a finished checkpoint of the study: states from here on hold only with it."""
        if self.open:
            names = [f"{checkpoint}/{name}" for name in CHECKPOINT_FILES]
            self.finished |= {name: file_digest(self.folder / name) for name in names}

    def give_up(self, error: Exception) -> None:
        """Keep no further states: this checkpoint cannot be written there, so none that follows would be complete."""
        print(f"going on without further states: {error}", file=sys.stderr)
        self.open = False

    def deliver(self, output: Path) -> None:
        """Copy the finished checkpoints to the outputs, each file whole."""
        for name in sorted(self.finished, key=weights_last):
            with atomic_path(output / name) as partial:
                shutil.copyfile(self.folder / name, partial)

    def _places(self) -> list[Path]:
        """Folders of states, the earliest first."""
        if self.folder is None:
            return []
        places = self.folder.glob(f"{TRAINER}/checkpoint-*")
        return sorted(places, key=lambda place: int(place.name.rpartition("-")[2]))

    def _problem(self, place: Path) -> str | None:
        """What is wrong with a state; None for a whole one."""
        try:
            listed = json.loads((place / FILES).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return f"{place} was not finished"
        for name, sha in listed.items():
            if not (self.folder / name).exists() or file_digest(self.folder / name) != sha:
                return f"{self.folder / name} is not as it was written"
        return None


def _files(place: Path) -> list[Path]:
    """All files of a state: several processes write theirs into folders of their own."""
    return [path for path in place.rglob("*") if path.is_file()]
