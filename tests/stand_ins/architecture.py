"""The layering rule of docs/architecture.md, held against a folder's own imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "rlgen"
FLOORS = [
    {"files", "digests", "names", "seeds", "progress", "compute", "strict", "resume"}  # ground
    | {"stats", "tables", "hub", "packaged"},
    {"tasks", "models"},
    {"training", "behaviour", "activations", "teacher"},
    {"dictionaries", "sources"},
    {"features", "interventions", "ledger"},
    {"figures", "organism", "sensitivity", "extended", "site", "arms"},
    {"study"},
    {"planning"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
BESIDE = "jobs"  # imports the ground alone; only planning imports it
LONGEST_MODULE, LONG_MODULES = 300, {"study/slices.py"}
LONGEST_FUNCTION = 50


def modules(library: Path) -> dict[str, ast.Module]:
    """Dotted name -> tree of every module of a library."""
    found = {}
    for path in sorted(library.rglob("*.py")):
        parts = [PACKAGE, *path.relative_to(library).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(tree: ast.Module, known: set[str]) -> set[str]:
    """Modules of the library that a module names, wherever it imports them and whatever for."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in known else node.module for a in node.names
            }
    return {name for name in found if name in known and name != PACKAGE}


def room(module: str) -> str:
    """`dictionaries` of `rlgen.dictionaries.step`, `files` of `rlgen.files`."""
    return module.split(".")[1]


def graph(library: Path) -> dict[str, set[str]]:
    """Module -> modules it imports."""
    trees = modules(library)
    return {name: imports(tree, set(trees)) for name, tree in trees.items() if name != PACKAGE}


def wrong_arrows(library: Path) -> Iterator[str]:
    """Imports that do not go down, one line each."""
    for module, targets in graph(library).items():
        for target in sorted(targets):
            a, b = room(module), room(target)
            if a == b:
                continue
            if BESIDE in (a, b):
                allowed = FLOOR_OF.get(b) == 0 if a == BESIDE else a == "planning"
            else:
                allowed = FLOOR_OF[b] < FLOOR_OF[a] or FLOOR_OF[a] == FLOOR_OF[b] == 0
            if not allowed:
                yield f"{module} imports {target}"


def circles(library: Path) -> Iterator[str]:
    """Modules that import themselves through others."""
    arrows = graph(library)
    reached = {name: set(targets) for name, targets in arrows.items()}
    for middle in reached:
        for targets in reached.values():
            if middle in targets:
                targets |= reached[middle]
    yield from (f"{name} imports itself through others" for name, targets in reached.items() if name in targets)


def mixed_settings(library: Path) -> Iterator[str]:
    """Modules `settings` that import more than pydantic, the ground and other settings."""
    for module, targets in graph(library).items():
        for target in sorted(targets) if module.endswith(".settings") else ():
            if not target.endswith(".settings") and FLOOR_OF.get(room(target)) != 0:
                yield f"{module} imports {target}"


def busy_inits(library: Path) -> Iterator[str]:
    """`__init__.py` files that are more, or less, than one docstring."""
    for path in library.rglob("__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        if len(body) != 1 or not isinstance(body[0], ast.Expr) or not isinstance(body[0].value, ast.Constant):
            yield f"{path.relative_to(library)} is not one docstring"


def long_modules(library: Path) -> Iterator[str]:
    """Modules above the limit that are not named as exceptions."""
    for path in sorted(library.rglob("*.py")):
        name, lines = str(path.relative_to(library)), path.read_text(encoding="utf-8").count("\n")
        if lines > LONGEST_MODULE and name not in LONG_MODULES:
            yield f"{name} has {lines} lines"


def long_functions(library: Path) -> set[str]:
    """Functions above the limit, as `dictionaries/step.py:advance`."""
    found = set()
    for path in library.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= LONGEST_FUNCTION:
                found.add(f"{path.relative_to(library)}:{node.name}")
    return found
