"""What tasks are: the configuration that lm-eval ships under a name, or the one of generated problems."""

import os
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlgen.files import ArtifactError
from rlgen.tasks.generated import generated_config
from rlgen.tasks.settings import Benchmark

KINDS = ("multiple_choice", "generate_until")


def task_config(name: str, benchmark: Benchmark) -> dict[str, Any]:
    """lm-eval's configuration of a task. Raises ArtifactError where it ships none and none is generated."""
    return shipped_config(name) if benchmark.generate is None else generated_config(name, benchmark)


def shipped_config(name: str, functions: bool = True) -> dict[str, Any]:
    """The configuration of a shipped task, includes resolved. Raises ArtifactError where there is none.

    Without `functions`, those that it names in Python are not imported.
    """
    from lm_eval.tasks._yaml_loader import load_yaml  # TaskManager would first index some 14,000 files

    path = _task_files().get(name)
    if path is None:
        raise ArtifactError(f"benchmark {name}: the installed lm-eval ships no task of that name")
    config = load_yaml(path, resolve_func=functions)
    if "class" in config or config.get("output_type") not in KINDS:
        kind = "a Python class" if "class" in config else f"of output_type {config.get('output_type')}"
        raise ArtifactError(f"benchmark {name}: is {kind}, expected one of {', '.join(KINDS)}")
    return {key: value for key, value in config.items() if key not in ("tag", "group", "task_list")}


@cache
def _task_files() -> dict[str, str]:
    """Task name -> its YAML, found by the line that names it."""
    root = Path(find_spec("lm_eval").submodule_search_locations[0]) / "tasks"
    named, found = re.compile(rb"^task: *[\"']?([\w.-]+)[\"']? *$", re.MULTILINE), {}
    for folder, _, files in sorted(os.walk(root)):
        for file in sorted(files):
            if file.endswith(".yaml"):
                with open(path := os.path.join(folder, file), "rb") as handle:
                    match = named.search(handle.read())
                if match:
                    found.setdefault(match[1].decode(), path)
    return found
