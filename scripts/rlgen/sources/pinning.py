"""`make pin`: the commits of everything a study takes from the hub, written into its YAML, comments and all kept.

Pinned are `revision` beside `hub` (`data.sources`) and beside `from` (`data.teacher`, `models` and their `earlier`),
`adapter_revision` beside `adapter`, and `revision` of all `data.benchmarks` that have no `files`. A branch or a tag is
replaced by its commit, and kept as a comment at the end of a line.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from rlgen.files import ArtifactError, write_text
from rlgen.hub import hub_errors, is_commit, is_hub_id
from rlgen.progress import Progress

PINNED = {"hub": ("dataset", "revision"), "from": ("model", "revision"), "adapter": ("model", "adapter_revision")}
TIMEOUT_S = 60  # of one question to the hub
Kind = Literal["dataset", "model"]
CommitOf = Callable[[Kind, str, str | None], str]  # kind, repository, branch or tag -> commit


@dataclass(frozen=True)
class Place:
    """Something without a commit in a YAML text: what it is, what stands there now, and where the commit goes."""

    line: int  # from 1
    what: str  # the field, as `models.rl.revision`
    kind: Kind
    repository: str
    revision: str | None
    start: int  # offset in the text of what is to be replaced, or inserted (start == end)
    end: int
    before: str  # what goes there before the commit
    after: str = ""  # and behind it


class Field(NamedTuple):
    """A field of a YAML mapping, and the mapping in whose text it stands."""

    owner: yaml.MappingNode
    key: yaml.ScalarNode
    value: yaml.Node


def unpinned(text: str, data_set_of: Callable[[str], str], path: str | Path = "study") -> list[Place]:
    """What a study's YAML takes from the hub without a commit, in the order of the text.

    `data_set_of` tells the data set of an lm-eval task; it is asked only for benchmarks without a commit. Raises
    ArtifactError, naming `path`, where the text is no YAML mapping or two repositories share one revision (an anchor).
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ArtifactError(path, f"cannot be read as YAML ({problem})", "mend it") from error
    if not isinstance(root, yaml.MappingNode):
        raise ArtifactError(path, "holds no fields", "expected the YAML of a study")
    by_offset: dict[int, Place] = {}
    for place in sorted(_places(text, root, data_set_of), key=lambda place: place.start):
        first = by_offset.setdefault(place.start, place)
        if (first.kind, first.repository) != (place.kind, place.repository):
            problem = f"{first.what} ({first.repository}) and {place.what} ({place.repository}) are one revision"
            raise ArtifactError(f"{path}:{place.line}", problem, "write both out, without an anchor")
    return list(by_offset.values())


def _places(text: str, root: yaml.MappingNode, data_set_of: Callable[[str], str]) -> Iterator[Place]:
    fields = _fields(root)
    data = _fields(_value(fields, "data"))
    for name, source in _fields(_value(data, "sources")).items():
        yield from _beside(text, f"data.sources.{name}", source.value)
    yield from _beside(text, "data.teacher", _value(data, "teacher"))
    for name, benchmark in _fields(_value(data, "benchmarks")).items():
        yield from _benchmark(text, f"data.benchmarks.{name}", benchmark.value, lambda name=name: data_set_of(name))
    for name, model in _fields(_value(fields, "models")).items():
        yield from _beside(text, f"models.{name}", model.value)
        earlier = _value(_fields(model.value), "earlier")
        for number, one in enumerate(earlier.value if isinstance(earlier, yaml.SequenceNode) else []):
            yield from _beside(text, f"models.{name}.earlier.{number}", one)


def _fields(node: yaml.Node | None) -> dict[str, Field]:
    """Name -> field of a mapping, with those that it merges (`<<`); nothing of what is no mapping."""
    own: dict[str, Field] = {}
    merged: dict[str, Field] = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else []:
        if key.tag == "tag:yaml.org,2002:merge":
            for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                merged = _fields(part) | merged
        elif isinstance(key, yaml.ScalarNode):
            own[key.value] = Field(node, key, value)
    return merged | own


def _value(fields: dict[str, Field], name: str) -> yaml.Node | None:
    """A field's value; None for a field that is missing or null."""
    value = fields[name].value if name in fields else None
    return None if value is None or value.tag == "tag:yaml.org,2002:null" else value


def _beside(text: str, path: str, node: yaml.Node | None) -> Iterator[Place]:
    """Places of the revisions that belong beside `hub`, `from` and `adapter`."""
    fields = _fields(node)
    for name, (kind, revision) in PINNED.items():
        value = _value(fields, name)
        # a folder, unlike a data set, may be named as a repository is
        if not isinstance(value, yaml.ScalarNode) or (kind == "model" and not is_hub_id(value.value)):
            continue
        what = f"{path}.{revision}"
        if revision in fields:
            if not is_commit(_text(fields[revision].value)):
                yield _written(text, what, kind, value.value, fields[revision].value)
            continue
        owner, key, _ = fields[name]
        end = value.end_mark.index
        end = end if owner.flow_style else _line_end(text, end)  # behind a comment on that line
        before = ", " if owner.flow_style else _new_line(text, key)
        yield Place(key.start_mark.line + 1, what, kind, value.value, None, end, end, f"{before}{revision}: ")


def _benchmark(text: str, path: str, node: yaml.Node, data_set: Callable[[], str]) -> Iterator[Place]:
    """The place of the revision of a task's data set, where the task reads that."""
    fields, what = _fields(node), f"{path}.revision"
    if _value(fields, "files") is not None or not isinstance(node, yaml.MappingNode):
        return
    if "revision" in fields:
        if not is_commit(_text(fields["revision"].value)):
            yield _written(text, what, "dataset", data_set(), fields["revision"].value)
        return
    line, start, after = node.start_mark.line + 1, node.end_mark.index - 1, ""  # in empty braces
    if node.value:
        first = node.value[0][0]
        start, after = first.start_mark.index, ", " if node.flow_style else _new_line(text, first)
    yield Place(line, what, "dataset", data_set(), None, start, start, "revision: ", after)


def _written(text: str, what: str, kind: Kind, repository: str, node: yaml.Node) -> Place:
    """The place of a revision that the YAML has a field for."""
    now, start, end = _text(node), node.start_mark.index, node.end_mark.index
    colon = "" if text[start - 1 : start].isspace() else " "  # `revision:` with nothing behind
    note = f"  # {now}" if now and _line_end(text, end) == end else ""
    return Place(node.start_mark.line + 1, what, kind, repository, now, start, end, colon, note)


def _text(node: yaml.Node) -> str | None:
    """A scalar's text; None for one that is empty or null."""
    is_null = node.tag == "tag:yaml.org,2002:null" or not isinstance(node, yaml.ScalarNode)
    return None if is_null else node.value or None


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    return end - 1 if text[start:end].endswith("\r") else end


def _new_line(text: str, key: yaml.Node) -> str:
    """A line end as the text has them, and the indent of a key."""
    return ("\r\n" if "\r\n" in text else "\n") + " " * key.start_mark.column


def pinned(text: str, commits: Iterable[tuple[Place, str]]) -> str:
    """The text with a commit at every one of its places, which come in its order."""
    parts, at = [], 0
    for place, commit in commits:
        quoted = f'"{commit}"' if commit.isdecimal() else commit  # or YAML would read a number
        parts += [text[at : place.start], place.before, quoted, place.after]
        at = place.end
    return "".join([*parts, text[at:]])


def pin(path: Path, check: bool, commit_of: CommitOf | None = None) -> list[str]:
    """Pin a study's file in place; returns one line per place. With `check` nothing is asked and nothing written.

    Raises ArtifactError, and leaves the file as it was, where the hub cannot be asked or does not know a repository.
    """
    from rlgen.tasks.shipped import data_set  # it imports lm-eval when it is asked

    try:
        text = path.read_bytes().decode()  # line ends as they are
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(path, f"cannot be read ({error})", "expected the YAML of a study") from error
    found = unpinned(text, data_set, path)
    if check:
        return [f"{path}:{place.line}: {place.what}: {place.repository} has no commit" for place in found]
    if not found:
        return []
    commits = list(zip(found, _asked(found, commit_of or hub_commit, path), strict=True))
    new = pinned(text, commits)
    if not _says_the_same(text, new):
        raise ArtifactError(path, "its layout cannot be edited in place", "write the commits into it by hand")
    write_text(path, new)
    return [f"{place.what}: {place.repository} {commit}" for place, commit in commits]


def _asked(found: Sequence[Place], commit_of: CommitOf, path: Path) -> Iterator[str]:
    """The commits of places. Each (repository, revision) is asked for once; an error says for which field."""
    commits: dict[tuple, str] = {}
    progress = Progress("pin", len(found), "revisions")
    for number, place in enumerate(found, start=1):
        asked = (place.kind, place.repository, place.revision)
        try:
            commit = commits[asked] if asked in commits else commits.setdefault(asked, commit_of(*asked))
        except ArtifactError as error:
            folder = f" (a folder is written ./{place.repository})" if place.kind == "model" else ""
            raise ArtifactError(f"{path}:{place.line}: {place.what}: {error}{folder}") from error
        yield commit
        progress.update(number)


def _says_the_same(old: str, new: str) -> bool:
    """Whether a pinned text has all its commits and differs from the old one in nothing else."""
    try:
        left = unpinned(new, lambda task: task)
        values = [_without_revisions(yaml.safe_load(text)) for text in (old, new)]
    except (ArtifactError, yaml.YAMLError):
        return False
    return not left and values[0] == values[1]


def _without_revisions(value: Any) -> Any:
    if isinstance(value, dict):
        own = {field for _, field in PINNED.values()}
        return {key: _without_revisions(part) for key, part in value.items() if key not in own}
    return [_without_revisions(part) for part in value] if isinstance(value, list) else value


def hub_commit(kind: Kind, repository: str, revision: str | None) -> str:
    """The commit that a branch or tag of a repository (none: its default branch) stands for today."""
    from huggingface_hub import HfApi

    with hub_errors(repository, revision):
        return HfApi().repo_info(repository, revision=revision, repo_type=kind, timeout=TIMEOUT_S).sha
