"""`make pin`: the commits of everything a study takes from the hub, written into its YAML, comments and all kept.

Pinned are: `revision` beside `hub` (a data set) and beside `from` (a model), `adapter_revision` beside `adapter`, and
every entry of `task_revisions` (lm-eval task -> commit of its data set), which is filled from the names under `tasks`
where a study has that field. A branch or a tag is replaced by its commit, and kept as a comment at the end of a line.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from rlgen.files import ArtifactError, write_text
from rlgen.hub import hub_errors, is_commit, is_hub_id

PINNED = {"hub": ("dataset", "revision"), "from": ("model", "revision"), "adapter": ("model", "adapter_revision")}
TASKS, TASK_REVISIONS = "tasks", "task_revisions"
Kind = Literal["dataset", "model"]
CommitOf = Callable[[Kind, str, str | None], str]  # kind, repository, branch or tag -> commit


@dataclass(frozen=True)
class Place:
    """Something to pin in a YAML text: where its revision stands, and what stands there now."""

    line: int  # from 1
    what: str  # the field, as `models.rl.revision`
    kind: Kind
    repository: str
    revision: str | None
    start: int  # offset in the text of what is to be replaced, or inserted (start == end)
    end: int
    before: str  # what goes there before the commit
    after: str = ""  # and behind it

    @property
    def is_pinned(self) -> bool:
        """Whether a commit stands there already."""
        return is_commit(self.revision)


def places(text: str, data_set_of: Callable[[str], str], path: str | Path = "study") -> list[Place]:
    """All that a study's YAML takes from the hub, in the order of the text.

    `data_set_of` tells the data set of an lm-eval task; it is asked only where a study has `task_revisions`. Raises
    ArtifactError, naming `path`, where the text is no YAML mapping.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ArtifactError(path, f"cannot be read as YAML ({problem})", "mend it") from error
    if not isinstance(root, yaml.MappingNode):
        raise ArtifactError(path, "holds no fields", "expected the YAML of a study")
    found = [place for path, node in _mappings(root, ()) for place in _beside(text, path, node)]
    return sorted([*found, *_tasks(text, root, data_set_of)], key=lambda place: place.start)


def _mappings(node: yaml.Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], yaml.MappingNode]]:
    if isinstance(node, yaml.MappingNode):
        yield path, node
        for key, value in node.value:
            yield from _mappings(value, (*path, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _mappings(value, (*path, str(number)))


def _beside(text: str, path: tuple[str, ...], node: yaml.MappingNode) -> Iterator[Place]:
    entries = {key.value: (key, value) for key, value in node.value}
    for field, (kind, revision) in PINNED.items():
        key, value = entries.get(field, (None, None))
        if not isinstance(value, yaml.ScalarNode) or not is_hub_id(value.value):
            continue
        what = ".".join((*path, revision))
        if revision in entries:
            yield _written(text, what, kind, value.value, entries[revision][1])
            continue
        end = value.end_mark.index
        end = end if node.flow_style else _line_end(text, end)  # behind a comment on that line
        before = ", " if node.flow_style else "\n" + " " * key.start_mark.column
        yield Place(key.start_mark.line + 1, what, kind, value.value, None, end, end, f"{before}{revision}: ")


def _written(text: str, what: str, kind: Kind, repository: str, node: yaml.Node) -> Place:
    """The place of a revision that the YAML has a field for."""
    value = node.value if isinstance(node, yaml.ScalarNode) else ""
    now = None if node.tag.endswith(":null") or not value else value
    start, end = node.start_mark.index, node.end_mark.index
    colon = "" if text[start - 1 : start].isspace() else " "  # `revision:` with nothing behind
    note = f"  # {now}" if now and not is_commit(now) and _line_end(text, end) == end else ""
    return Place(node.start_mark.line + 1, what, kind, repository, now, start, end, colon, note)


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _tasks(text: str, root: yaml.MappingNode, data_set_of: Callable[[str], str]) -> Iterator[Place]:
    """Places of the commits of lm-eval tasks' data sets, in a study that has a field for them."""
    fields = {key.value: (key, value) for key, value in root.value}
    if TASK_REVISIONS not in fields or TASKS not in fields:
        return
    key, node = fields[TASK_REVISIONS]
    entries = {k.value: v for k, v in node.value} if isinstance(node, yaml.MappingNode) else {}
    groups = [value for _, value in _mappings(fields[TASKS][1], ()) for _, value in value.value]
    names = dict.fromkeys(item.value for group in groups for item in group.value if isinstance(item, yaml.ScalarNode))
    for name in names:
        if name in entries:
            yield _written(text, f"{TASK_REVISIONS}.{name}", "dataset", data_set_of(name), entries[name])
    missing = [name for name in names if name not in entries]
    if missing and entries and node.flow_style:
        raise ArtifactError(TASK_REVISIONS, "is written in braces", "write one task per line")
    column = node.value[0][0].start_mark.column if entries else key.start_mark.column + 2
    line_end = _line_end(text, key.end_mark.index)
    # An empty field, `task_revisions: {}` or nothing, is replaced by the first task.
    start, end = (line_end, line_end) if entries else (key.end_mark.index + 1, node.end_mark.index)
    for name in missing:
        what, before = f"{TASK_REVISIONS}.{name}", f"\n{' ' * column}{name}: "
        yield Place(key.start_mark.line + 1, what, "dataset", data_set_of(name), None, start, end, before)
        start = end


def pinned(text: str, found: Iterable[Place], commit_of: CommitOf) -> str:
    """The text with a commit at every place that has none. Each (repository, revision) is asked for once."""
    commits: dict[tuple, str] = {}
    parts, at = [], 0
    for place in found:
        if place.is_pinned:
            continue
        asked = (place.kind, place.repository, place.revision)
        commit = commits[asked] if asked in commits else commits.setdefault(asked, commit_of(*asked))
        quoted = f'"{commit}"' if commit.isdecimal() else commit  # or YAML would read a number
        parts += [text[at : place.start], place.before, quoted, place.after]
        at = place.end
    return "".join([*parts, text[at:]])


def pin(path: Path, check: bool, commit_of: CommitOf | None = None) -> list[str]:
    """Pin a study's file in place; returns one line per place. With `check` nothing is asked and nothing written.

    Raises ArtifactError, and leaves the file as it was, where the hub cannot be asked or does not know a repository.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(path, f"cannot be read ({error})", "expected the YAML of a study") from error
    before = places(text, task_data_set, path)
    missing = [place for place in before if not place.is_pinned]
    if check:
        return [f"{path}:{place.line}: {place.what}: {place.repository} has no commit" for place in missing]
    if not missing:
        return []
    new = pinned(text, before, commit_of or hub_commit)
    if not _says_the_same(text, new, before):
        raise ArtifactError(path, "its layout cannot be edited in place", "write the commits into it by hand")
    write_text(path, new)
    commits = {place.what: place.revision for place in places(new, task_data_set, path)}
    return [f"{place.what}: {place.repository} {commits[place.what]}" for place in missing]


def _says_the_same(old: str, new: str, before: list[Place]) -> bool:
    """Whether a pinned text has all its commits and differs from the old one in nothing else (anchors may spread)."""
    try:
        found = places(new, task_data_set)
        values = [_without_revisions(yaml.safe_load(text)) for text in (old, new)]
    except (ArtifactError, yaml.YAMLError):
        return False
    complete = all(place.is_pinned for place in found) and {p.what for p in found} == {p.what for p in before}
    return complete and values[0] == values[1]


def _without_revisions(value: Any) -> Any:
    if isinstance(value, dict):
        own = {field for _, field in PINNED.values()} | {TASK_REVISIONS}
        return {key: _without_revisions(part) for key, part in value.items() if key not in own}
    return [_without_revisions(part) for part in value] if isinstance(value, list) else value


def hub_commit(kind: Kind, repository: str, revision: str | None) -> str:
    """The commit that a branch or tag of a repository (none: its default branch) stands for today."""
    from huggingface_hub import HfApi

    with hub_errors(repository, revision):
        return HfApi().repo_info(repository, revision=revision, repo_type=kind).sha


def task_data_set(task: str) -> str:
    """The data set that an lm-eval task reads. Raises ArtifactError for an unknown task or one without a data set."""
    entry = _task_index().get(task)
    data_set = entry and (entry.cfg or {}).get("dataset_path")
    if not data_set:
        raise ArtifactError(f"tasks: {task}", "no task of lm-eval with a data set", "see `lm-eval ls tasks`")
    return data_set


@cache
def _task_index() -> dict[str, Any]:
    from lm_eval.tasks import TaskManager  # takes some twenty seconds to read all its tasks

    return TaskManager().task_index
