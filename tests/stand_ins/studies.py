"""The project's studies with some fields changed, for tests of what is accepted and what is refused."""

import copy
from pathlib import Path

import pytest
import yaml

from rlgen.study.load import ConfigError, load

ROOT = Path(__file__).parents[2]
REMOVE = object()


def content_of(name: str) -> dict:
    """The parsed config/<name>.yaml."""
    return yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8"))


def changed(content: dict, **changes: object) -> dict:
    """A copy with changes such as stream__layer=4 or stream__mix=REMOVE."""
    content = copy.deepcopy(content)
    for path, value in changes.items():
        *parents, last = path.split("__")
        entry = content
        for name in parents:
            entry = entry[name]
        if value is REMOVE:
            del entry[last]
        else:
            entry[last] = value
    return content


def refused(content: dict, **changes: object) -> str:
    """The message with which the changed study is refused."""
    with pytest.raises(ConfigError) as caught:
        load(changed(content, **changes))
    return str(caught.value)
