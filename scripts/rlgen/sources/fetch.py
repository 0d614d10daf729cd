"""Fetching a source: published rows become the study's rows, once, with a record of what they were."""

import ast
import heapq
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field

from rlgen.files import ArtifactError, atomic_path, digest, file_digest
from rlgen.progress import Progress
from rlgen.seeds import stream_seed
from rlgen.sources.formats import Row, RowFormat, UnusableRow, row_format
from rlgen.sources.rows import fingerprint, rows
from rlgen.sources.settings import ProblemSource, TextSource
from rlgen.strict import Strict
from rlgen.tasks.math_answers import AnswerChecker


class FetchSource(Strict):
    """The slice that `scripts/data/fetch_source.py` receives."""

    name: str = Field(description="the source's name in the study")
    source: ProblemSource | TextSource


def fetch(source: ProblemSource | TextSource, output: Path, name: str = "source") -> dict[str, Any]:
    """Write a source's rows as JSONL (docs/method.md, sections 1 to 3); returns the facts about it.

    A row is {prompt, answer[, completion]}, {messages: [{role, content}, ...]} or {text}. Rows that repeat an earlier
    prompt (or conversation, or text) are dropped and counted. Unusable are rows that are empty, hold a number that is
    none, have an answer that would not be accepted as right where a model gave it, or another answer than an earlier
    row with the same prompt (which stays). Raises ArtifactError, and leaves no file, for a source that cannot be read,
    a column that is not there, more unusable rows than `refused_share` allows, and no rows at all.
    """
    made_of = fingerprint(source)
    with AnswerChecker() as checker, atomic_path(output) as partial:
        reader = Reader(row_format(source.format), name, checker)
        with open(partial, "w", encoding="utf-8", newline="\n") as file:
            for row in taken(reader.read(rows(source)), source):
                reader.taken += 1
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        reader.check(source.refused_share)
        sha256 = file_digest(partial)
    return {
        "name": name,
        "source": made_of,
        "subset": source.subset,
        "split": source.split if source.hub else None,
        "rows": reader.taken,
        "rows_read": reader.seen,
        "rows_refused": dict(sorted(reader.refused.items())),
        "duplicates_dropped": reader.duplicates,
        "sha256": sha256,
    }


def taken(found: Iterable[dict[str, Any]], source: ProblemSource | TextSource) -> Iterator[dict[str, Any]]:
    """The rows that a source's `rows` and `draw` take, in the order of publication."""
    if source.rows is None or source.draw == "first":
        yield from islice(found, source.rows)
        return
    keys = random.Random(stream_seed(source.draw_seed, "source-rows"))
    drawn = heapq.nsmallest(source.rows, ((keys.random(), place, row) for place, row in enumerate(found)))
    yield from (row for _, _, row in sorted(drawn, key=lambda entry: entry[1]))


def is_code(answer: str) -> bool:
    """Whether an answer is a list or table of texts as Python or JSON write it, or their word for a missing number.

    Mathematics would read ['2', '3'] as an interval and nan as a product: no model's answer would be right.
    """
    if answer.casefold() in ("nan", "null", "inf", "-inf"):
        return True
    try:
        value = ast.literal_eval(answer) if answer[0] in "[({" and set(answer) & set("'\"") else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return isinstance(value, list | tuple | set | dict)


class Reader:
    """Converts rows one by one and counts what became of them."""

    def __init__(self, into: RowFormat, name: str, checker: AnswerChecker) -> None:
        self.into, self.name, self.checker = into, name, checker
        self.answers: dict[str, bool] = {}  # answer -> whether it would be accepted as itself
        self.seen = self.duplicates = self.taken = 0
        self.refused: Counter[str] = Counter()
        self.first_refused: tuple[int, str] | None = None

    def read(self, published: Iterable[Row]) -> Iterator[dict[str, Any]]:
        """Usable rows, each once."""
        known: dict[str, str | None] = {}  # what makes rows duplicates -> the first one's answer
        progress = Progress(f"fetch {self.name}", 0, "rows")
        for row in published:
            if self.seen == 0:
                self.into.check_columns(row, self.name)
            self.seen += 1
            progress.total = self.seen
            progress.update(self.seen)
            try:
                self.into.check_numbers(row)
                converted = self.into.convert(row)
                key, answer = digest(self.into.key(converted)), converted.get("answer")
                if answer is not None:
                    self._check_answer(answer, known.get(key))
            except (UnusableRow, UnicodeEncodeError) as error:
                reason = str(error) if isinstance(error, UnusableRow) else "half a character (a lone surrogate)"
                self.refused[reason] += 1
                self.first_refused = self.first_refused or (self.seen, reason)
                continue
            if key in known:
                self.duplicates += 1
                continue
            known[key] = answer
            yield converted

    def _check_answer(self, answer: str, earlier: str | None) -> None:
        """Raises UnusableRow for an answer that nobody can give, and for one that contradicts an earlier one."""
        if answer not in self.answers:
            self.answers[answer] = not is_code(answer) and self._same(answer, answer)
        if not self.answers[answer]:
            raise UnusableRow("an answer that would not be accepted as itself")
        if earlier is not None and answer != earlier and not self._same(answer, earlier):
            raise UnusableRow("another answer than an earlier row has for the same prompt")

    def _same(self, answer: str, gold: str) -> bool:
        return self.checker.right([f"\\boxed{{{answer}}}"], [gold])[0]

    def check(self, refused_share: float) -> None:
        """Raises ArtifactError where more rows were unusable than allowed, or none is left."""
        refused = sum(self.refused.values())
        if self.seen and refused > refused_share * self.seen:
            row, reason = self.first_refused
            problem = f"{refused} of {self.seen} rows are unusable (row {row} first: {reason}), expected "
            problem += f"at most refused_share={refused_share:g}"
            raise ArtifactError(self.name, problem, "mend the source's format in the config, or allow more")
        if not self.taken:
            raise ArtifactError(self.name, f"no row is left of {self.seen}", "check the source's files or split")
