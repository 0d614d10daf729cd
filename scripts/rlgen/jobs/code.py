"""Digest of the code behind a script, so that an edit re-runs exactly the rules that use the edited module.

Workflow engines compare scripts by modification time and do not see imported modules. A rule that carries this digest
among its parameters re-runs when the script, or any `rlgen` module it imports directly or through others, changes its
meaning. Comments, layout, docstrings and descriptions of settings change nothing. C++ beside a module belongs to it,
every byte of it, and so does what lies in a folder of the module's name (templates, styles).
"""

import ast
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from rlgen.files import atomic_path, digest

PACKAGE = "rlgen"
NATIVE = (".cpp", ".h")  # of what a module compiles: `step.cpp` and `step.h` belong to `step.py`
# A digest is that of Python 3.11 in later ones, too: Snakemake's Python need not be that of its jobs (`--sdm conda`).
AS_IN_3_11 = {"show_empty": True} if sys.version_info >= (3, 13) else {}
READ = Path(".snakemake/sources_read.json")  # texts read before, in the working folder: parsing takes .4 s of a dry run


class Look:
    """The files as they are now, each looked for and read once: one for a script, or for many scripts at a time."""

    def __init__(self) -> None:
        self.read = cache(lambda path: _read(path.suffix, path.read_text(encoding="utf-8")))
        self.file = cache(_file)
        self.beside = cache(lambda name, path: dict(_beside(name, path)))


def code_digest(script: str | Path, look: Look | None = None) -> str:
    """Hex digest (16 characters) of a script and of every package module it reaches."""
    return digest(code_digests(script, look))[:16]


def code_digests(script: str | Path, look: Look | None = None) -> dict[str, str]:
    """Module -> hex digest (16 characters), for a script (named `script`) and every package module it reaches."""
    look = look or Look()
    return {name: look.read(path)[1] for name, path in sources(script, look).items()}


def sources(script: str | Path, look: Look | None = None) -> dict[str, Path]:
    """Name -> file of a script (named `script`) and of all package modules it imports, directly or through others.

    C++ beside a module is named like it, with its suffix; a file of its folder, like it and by its place there.
    The package lies beside the script's folder, or in it. Imports inside functions count, those for type checkers alone
    do not.
    Raises FileNotFoundError for a script that does not exist, ValueError for a relative import.
    """
    script, look = Path(script), look or Look()
    root = next((folder for folder in script.resolve().parents if (folder / PACKAGE).is_dir()), script.parent)
    found, waiting, seen = {"script": script}, [script], set()
    while waiting:
        for name in look.read(waiting.pop())[0] - seen:
            seen.add(name)
            path = look.file(root, name)
            if path:
                found[name] = path
                waiting.append(path)
    beside = {known: file for name, path in found.items() for known, file in look.beside(name, path).items()}
    return dict(sorted((found | beside).items()))


def _beside(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    """Files that belong to a module and are no Python."""
    native = [path.with_suffix(suffix) for suffix in NATIVE]
    yield from ((name + file.suffix, file) for file in native if file.is_file())
    folder = path.with_suffix("")
    if name != "script" and not (folder / "__init__.py").exists():
        yield from ((f"{name}/{file.name}", file) for file in folder.glob("*.*") if file.is_file())


@cache
def _read(suffix: str, text: str) -> tuple[frozenset[str], str]:
    """What a source text imports from the package, and the digest (16 characters) of what it means."""
    if suffix != ".py":
        return frozenset(), digest(text)[:16]
    key, known = digest([_reader(), text]), _known()
    if key not in known:
        known[key] = _parsed(text)
        _remember(known)
    names, meaning = known[key]
    return frozenset(names), meaning


def _parsed(text: str) -> tuple[list[str], str]:
    """Imports and digest of a Python text, by its tree, which is not kept: it has thousands of objects."""
    tree = ast.parse(text)
    names = _imports(tree)
    return sorted(names), digest(ast.dump(_WithoutProse().visit(tree), **AS_IN_3_11))[:16]


@cache
def _reader() -> str:
    """What reads: this module and the version of Python. Another one reads everything anew."""
    return digest([sys.version, Path(__file__).read_text(encoding="utf-8")])


@cache
def _known() -> dict[str, tuple[list[str], str]]:
    """Digest of a text and its reader -> what was read; whatever is wrong with the file, texts are read anew."""
    try:
        found = json.loads(READ.read_text(encoding="utf-8"))
        return {key: (names, meaning) for key, (names, meaning) in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _remember(known: dict[str, tuple[list[str], str]]) -> None:
    """Write down what was read. Of two processes the later one wins: what the other read will be read once more."""
    if READ.parent.is_dir():
        with suppress(OSError), atomic_path(READ) as partial:
            partial.write_text(json.dumps(known), encoding="utf-8")


def _imports(tree: ast.Module) -> frozenset[str]:
    """Dotted names that a syntax tree may import from the package, and the packages around them."""
    names: set[str] = set()
    for node in _run(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"line {node.lineno}: relative import, expected 'from {PACKAGE}... import ...'")
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    parts = [name.split(".") for name in names]
    return frozenset(".".join(p[:n]) for p in parts if p[0] == PACKAGE for n in range(1, len(p) + 1))


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a syntax tree but those that only type checkers read, under `if TYPE_CHECKING:`."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.expr):  # no import lies in one
            continue
        for child in ast.iter_child_nodes(node):
            typing = isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"
            if not typing:
                waiting.append(child)


def _file(root: Path, module: str) -> Path | None:
    """File of a package module; None where the name is something inside a module."""
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


class _WithoutProse(ast.NodeTransformer):
    """Drops docstrings, the `description` of settings fields, and empty lists of type parameters (from 3.12 on)."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if getattr(node, "type_params", None) == []:
            del node.type_params
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Field":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
        return super().generic_visit(node)
