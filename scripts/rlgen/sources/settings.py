"""Data that others published: where it lies, which rows are taken, and how its columns become the study's rows.

Templates are Jinja2, run in its sandbox, over a row's columns: `{{ question }}`, `{{ "ABCD"[answer] }}`, loops over
lists. A column whose name is no identifier is `row["its name"]`.
"""

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from rlgen.models.settings import Size, Source
from rlgen.strict import Strict
from rlgen.tasks.settings import Benchmark, Generated
from rlgen.teacher.settings import Teacher


class ProblemFormat(Strict):
    """Rows with one right answer: they become {prompt, answer}, with a `completion` where one is configured."""

    kind: Literal["problem"] = "problem"
    prompt: str = Field(min_length=1, description="template of the prompt, such as 'Question: {{ question }}'")
    answer: str = Field(min_length=1, description="template of the right answer, such as '{{ answer }}'")
    answer_pattern: str | None = Field(
        None, description="regular expression with one group: the answer is what it last holds in `answer`"
    )
    completion: str | None = Field(None, min_length=1, description="template of a solution to learn from (SFT)")

    @field_validator("answer_pattern")
    @classmethod
    def _has_one_group(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"no regular expression ({error})") from error
            if groups != 1:
                raise ValueError(f"has {groups} groups, expected one in brackets, such as '#### (.+)'")
        return pattern


class MessagesFormat(Strict):
    """Rows that hold a conversation: they become {messages: [{role, content}, ...]}, for a chat template."""

    kind: Literal["messages"] = "messages"
    column: str = Field("messages", description="column with the list of messages")
    role: str = Field("role", description="key of a message's author")
    content: str = Field("content", description="key of a message's text")
    roles: dict[str, Literal["system", "user", "assistant"]] = Field(
        {"system": "system", "user": "user", "assistant": "assistant"},
        min_length=1,
        description="author as published -> author in the chat template",
    )
    system: str | None = Field(None, description="column with a system prompt, put first where it is not empty")


class TextFormat(Strict):
    """Rows of plain text: they become {text}."""

    kind: Literal["text"] = "text"
    column: str = Field("text", description="column with the text")


class DataSource(Strict):
    """Rows: a data set on the hub at one commit, local files, or problems that reasoning-gym generates."""

    hub: str | None = Field(
        None,
        pattern=r"^\w[\w.-]*/\w[\w.-]*$",
        description="data set on the hub, `owner/name`; without it `files` are local",
    )
    subset: str | None = Field(None, description="the data set's subset, where it has several")
    split: str = Field("train", min_length=1, description="the data set's split")
    revision: str | None = Field(None, description="commit of the data set, written by `make pin`")
    stream: bool = Field(
        False, description="read over the network only as many rows as are taken; nothing stays in the cache"
    )
    files: list[str] = Field(
        [],
        description="paths or patterns of .jsonl, .json, .parquet and .txt files (of these a paragraph is a row), or "
        "package:NAME/FILE; with `hub` the names of files in that "
        "repository, read instead of its subsets and splits: for one that holds a loading script",
    )
    generate: Generated | None = Field(
        None, description="problems of reasoning-gym: columns question, answer, and both as `messages`"
    )
    rows: int | None = Field(None, ge=1, description="rows taken at most; none: all")
    draw: Literal["first", "random"] = Field(
        "first", description="which ones: the first in the order of publication, or drawn from all"
    )
    draw_seed: int = Field(0, ge=0, description="seed of a random draw")
    refused_share: float = Field(
        0.0, ge=0, le=1, description="largest share of the rows read that may be unusable (an empty answer, ...)"
    )

    @model_validator(mode="after")
    def _comes_from_one_place(self):
        if self.generate is not None and (self.hub is not None or self.files):
            raise ValueError("generate given beside hub or files, expected one of them")
        if self.hub is None and not self.files and self.generate is None:
            raise ValueError("expected hub, files, files of a hub repository, or generate")
        if self.hub is None:
            for name in ("subset", "split", "stream", "revision"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} given without hub, expected only with it")
        elif self.files:
            for name in ("subset", "split", "stream"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} given for files, expected only with a hub repository without files")
        if self.hub and (patterns := [name for name in self.files if set(name) & set("*?[")]):
            raise ValueError(f"files={patterns[0]!r} of a hub repository, expected a name without wildcards")
        if self.stream and self.draw == "random":
            raise ValueError("stream with draw: random would read every row, expected draw: first or stream: false")
        return self


class ProblemSource(DataSource):
    """Published problems with right answers."""

    format: ProblemFormat


class TextSource(DataSource):
    """Published text for the token stream: conversations or plain text."""

    format: Annotated[MessagesFormat | TextFormat, Field(discriminator="kind")]


def kind_of_source(value: Any) -> str:
    entry = value.get("format") if isinstance(value, dict) else getattr(value, "format", None)
    kind = entry.get("kind", "problem") if isinstance(entry, dict) else getattr(entry, "kind", "problem")
    return "problem" if kind == "problem" else "text"


AnySource = Annotated[
    Annotated[ProblemSource, Tag("problem")] | Annotated[TextSource, Tag("text")], Discriminator(kind_of_source)
]


class SourcedData(Strict):
    """Data that others published: sources of problems and texts, and benchmarks of lm-eval by name."""

    kind: Literal["sources"]
    sources: dict[str, AnySource] = Field(min_length=1, description="source name -> where it comes from, how it reads")
    benchmarks: dict[str, Benchmark] = Field(min_length=1, description="lm-eval task -> its data set and metric")
    problems: str | None = Field(None, description="source of the problems that SFT and RL train on")
    chat: bool = Field(True, description="whether problems go through the tokenizer's chat template")
    chat_date: str | None = Field(
        None,
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="the date (YYYY-MM-DD) that chat templates print as today's; none: one that prints it is refused",
    )
    teacher: Teacher | None = Field(
        None, description="writes the completions that SFT learns; none: the source of the problems has them"
    )

    @field_validator("chat_date", mode="before")
    @classmethod
    def _is_a_day(cls, value: Any) -> Any:
        """YAML makes a date of an unquoted one."""
        return date.fromisoformat(str(value)).isoformat() if value is not None else None

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks that the data knows."""
        return list(self.benchmarks)

    @property
    def generated(self) -> list[str]:
        """Tasks that reasoning-gym generates."""
        return [name for name, benchmark in self.benchmarks.items() if benchmark.generate is not None]


class Load(Source):
    """A model that exists: from the hub, or a folder."""

    method: Literal["load"]
    earlier: list[Source] = Field(
        default_factory=list, description="intermediate checkpoints before it, in the order of training"
    )
    size: Size | None = Field(None, description="checked when it is fetched; `make plan` needs it before")

    @property
    def checkpoints(self) -> int:
        """Number of checkpoints."""
        return len(self.earlier) + 1

    def sources(self) -> list[Source]:
        """Where the checkpoints come from, in the order of training."""
        own = self.model_dump(by_alias=True, include={*Source.model_fields})
        return [*self.earlier, Source.model_validate(own)]
