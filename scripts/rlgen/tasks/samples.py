"""Rows of the task and training files (JSONL): what a model is evaluated on and what it is trained on."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rlgen.files import ArtifactError, read_rows, write_text

HALVES = ("discovery", "test")


@dataclass(frozen=True)
class Sample:
    """One evaluation prompt. `choices` are the answers a format-blind reading chooses from, `trace` the right steps.

    `sample` identifies the prompt; features, doses and cuts are chosen on the discovery `half`, every effect is
    reported on the test half.
    """

    task: str
    role: str
    half: str
    sample: str
    prompt: str
    answer: str
    choices: tuple[str, ...]
    trace: tuple[str, ...] = ()  # words of `choices`, in the task's own format; empty where a task has no steps


@dataclass(frozen=True)
class Example:
    """One training prompt with the teacher's completion (SFT) and the right answer (the reward of RL).

    `plain` is the same solution in the format that the base model writes itself, where the data has one.
    """

    prompt: str
    completion: str
    answer: str
    plain: str | None = None


@dataclass(frozen=True)
class Trajectory:
    """One completion that a model wrote, a teacher or one of the study's; `tokens` in its own tokens."""

    prompt: str
    answer: str
    completion: str
    tokens: int
    finished: bool  # it ended by itself, not by length
    right: bool

    @property
    def accepted(self) -> bool:
        """Whether one may learn from it as from a solution."""
        return self.finished and self.right


def write_rows(path: str | Path, rows: Iterable[Sample | Example | Trajectory]) -> None:
    """Write one JSON object per line, fields in the order of the class."""
    write_text(path, "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows))


def read_samples(files: Iterable[str | Path]) -> list[Sample]:
    """The samples of task files, in file order. Raises ArtifactError naming a file and line that is not one."""
    return [sample for path in files for sample in read_rows(path, _sample)]


def read_examples(path: str | Path, at_least: int) -> list[Example]:
    """The examples of a training file. Raises ArtifactError where a line is not one or there are too few."""
    examples = list(read_rows(path, Example))
    if len(examples) < at_least:
        raise ArtifactError(path, f"holds {len(examples)} training examples, expected at least {at_least}")
    return examples


def _sample(choices: list[str], trace: list[str] = (), **fields) -> Sample:
    sample = Sample(choices=tuple(choices), trace=tuple(trace), **fields)
    if sample.half not in HALVES:
        raise ValueError(f"half is {sample.half!r}, expected one of {', '.join(HALVES)}")
    return sample


def prompt_id(prompt: str) -> str:
    """Identifies a prompt in every table: the first 12 hex digits of its SHA-256."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:12]
