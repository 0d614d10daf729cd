"""Where the project's scripts lie."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def script_file(name: str) -> Path:
    """File of a script, by its name."""
    (path,) = (ROOT / "scripts").glob(f"*/{name}.py")
    return path
