"""Columns of published rows -> rows of a study, as config says and without running anyone's code."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rlgen.files import ArtifactError, all_finite, first_line
from rlgen.sources.settings import MessagesFormat, ProblemFormat, TextFormat

Row = Mapping[str, Any]


class UnusableRow(ValueError):
    """A row that cannot be used; its text is the reason, the same for all rows of one kind."""


class RowFormat(ABC):
    """Turns rows as published into rows of the study."""

    columns: list[str]  # what the format reads
    by_name = True  # whether it reads nothing else: a template may take columns out of `row`

    @abstractmethod
    def convert(self, row: Row) -> dict[str, Any]:
        """A row of the study. Raises UnusableRow for one that is empty where it must not be."""

    def key(self, row: dict[str, Any]) -> Any:
        """What makes two converted rows duplicates of each other."""
        return row

    def check_numbers(self, row: Row) -> None:
        """Raises UnusableRow where a column that is read holds NaN or infinity: a text would say "nan"."""
        for column in self.columns if self.by_name else row:
            if not all_finite(row.get(column)):
                raise UnusableRow(f"NaN or infinity in {column}")

    def check_columns(self, there: Row, source: str) -> None:
        """Raises ArtifactError, listing the columns there are, where the format reads others."""
        for column in self.columns:
            if column not in there:
                problem = f"no column {column!r}, expected one of {', '.join(sorted(there))}"
                raise ArtifactError(source, problem, "mend the source's format in the config")


class _Problems(RowFormat):
    def __init__(self, settings: ProblemFormat) -> None:
        self.environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=lambda value: "" if value is None else value,  # an empty cell is an empty text
        )
        texts = {"prompt": settings.prompt, "answer": settings.answer, "completion": settings.completion}
        texts = {field: text for field, text in texts.items() if text is not None}
        read = {field: self._names(field, text) for field, text in texts.items()}
        self.templates = {field: self.environment.from_string(text) for field, text in texts.items()}
        names = set().union(*read.values())
        self.columns, self.by_name = sorted(names - {"row"}), "row" not in names
        self.pattern = settings.answer_pattern and re.compile(settings.answer_pattern)

    def _names(self, field: str, text: str) -> set[str]:
        """Columns that a template reads. Raises ArtifactError for one that is not a template, or reads none."""
        try:
            tree = self.environment.parse(text)
            self.environment.from_string(text)  # computes constants, and so may fail where parsing does not
        except TemplateError as error:
            remedy = "expected Jinja2, such as '{{ question }}'"
            raise ArtifactError(f"format.{field}", f"{text!r} is no template ({first_line(error)})", remedy) from error
        names = meta.find_undeclared_variables(tree) - set(self.environment.globals)
        if not names:
            remedy = f"to take a column write '{{{{ {text.strip()} }}}}'" if text.strip().isidentifier() else "name one"
            raise ArtifactError(f"format.{field}", f"{text!r} reads no column", remedy)
        return names

    def convert(self, row: Row) -> dict[str, Any]:
        found = {field: self._text(field, row) for field in self.templates}
        if self.pattern:
            matches = self.pattern.findall(found["answer"])
            if not matches:
                raise UnusableRow("answer_pattern not found in the answer")
            found["answer"] = matches[-1]
        found["answer"] = found["answer"].strip()
        for field, text in found.items():
            if not text.strip():
                raise UnusableRow(f"empty {field}")
        return found

    def _text(self, field: str, row: Row) -> str:
        try:
            return self.templates[field].render(row, row=row)
        except Exception as error:  # a template may do anything that Jinja2 can to a row of any shape
            raise UnusableRow(f"format.{field} fails ({first_line(error)})") from error

    def key(self, row: dict[str, Any]) -> str:
        return row["prompt"]


class _Messages(RowFormat):
    def __init__(self, settings: MessagesFormat) -> None:
        self.settings = settings
        self.columns = [settings.column] + ([settings.system] if settings.system else [])

    def convert(self, row: Row) -> dict[str, Any]:
        messages = row.get(self.settings.column)
        if not isinstance(messages, list) or not messages:
            raise UnusableRow(f"{self.settings.column} holds no list of messages")
        system = row.get(self.settings.system) if self.settings.system else None
        first = [{"role": "system", "content": system}] if isinstance(system, str) and system.strip() else []
        return {"messages": [*first, *map(self._message, messages)]}

    def _message(self, message: Any) -> dict[str, str]:
        keys = self.settings
        if not isinstance(message, dict) or keys.role not in message or keys.content not in message:
            raise UnusableRow(f"a message without {keys.role!r} or {keys.content!r}")
        role, content = message[keys.role], message[keys.content]
        if role not in keys.roles:
            raise UnusableRow(f"a message by {role!r}, expected {', '.join(keys.roles)} (format.roles)")
        if not isinstance(content, str) or not content.strip():
            raise UnusableRow("an empty message")
        return {"role": keys.roles[role], "content": content}


class _Texts(RowFormat):
    def __init__(self, settings: TextFormat) -> None:
        self.columns = [settings.column]

    def convert(self, row: Row) -> dict[str, Any]:
        text = row.get(self.columns[0])
        if not isinstance(text, str) or not text.strip():
            raise UnusableRow("empty text")
        return {"text": text}


def row_format(settings: ProblemFormat | MessagesFormat | TextFormat) -> RowFormat:
    """The format that a config describes. Raises ArtifactError for a template that cannot be read."""
    return {"problem": _Problems, "messages": _Messages, "text": _Texts}[settings.kind](settings)
