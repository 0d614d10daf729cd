"""Published rows in files, for tests of sources."""

import json
from pathlib import Path

import pytest

from rlgen.files import ArtifactError
from rlgen.sources.fetch import fetch
from rlgen.sources.settings import ProblemSource, TextSource

PLAIN = {"prompt": "{{ q }}", "answer": "{{ a }}"}


def problems(files: Path | str, format: dict = PLAIN, **fields: object) -> ProblemSource:
    """A source of local files."""
    return ProblemSource(files=[str(files)], format=format, **fields)


def lines(path: Path) -> list[dict]:
    """Rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(path: Path, rows: list[dict]) -> Path:
    """Write a JSONL file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def refused(source: ProblemSource | TextSource, output: Path, match: str) -> None:
    """Assert that a fetch ends with one line and leaves nothing behind."""
    with pytest.raises(ArtifactError, match=match) as error:
        fetch(source, output, "mine")
    assert "\n" not in str(error.value) and not output.exists()
    assert not list(output.parent.glob(".*partial*"))
