"""What the scripts of all pages share: their options, and the tables behind them. Nothing heavy before it is needed."""

import argparse
from pathlib import Path
from typing import Any, Literal


def page_arguments(description: str, second: Literal["png", "tex"], **tables: str) -> argparse.Namespace:
    """The options of a page's script.

    `tables`: name -> what it holds; each takes any number of files of the same columns. `second` is the page's other
    form beside `--output`: the image of a figure, the LaTeX of a table.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--cfg", required=True, help="settings of the page (JSON), as rlgen.study.pages makes them")
    for name, holds in tables.items():
        parser.add_argument(f"--{name}", type=Path, required=True, nargs="*", help=holds)
    main, beside = {
        "png": ("vector page to write (.pdf)", "the same page as an image (.png)"),
        "tex": ("table to write (.csv), every number", "the same as LaTeX (.tex), seeds side by side"),
    }[second]
    parser.add_argument("--output", type=Path, required=True, help=main)
    parser.add_argument(f"--{second}", type=Path, required=True, help=beside)
    return parser.parse_args()


def read_page(args: argparse.Namespace, settings: type, **columns: list[str]) -> tuple[Any, ...]:
    """The page's settings, and its tables in the order of `columns` (table -> columns it must hold).

    Raises ArtifactError naming a file that cannot be read or lacks a column.
    """
    from rlgen.figures.page import read_all

    tables = [read_all(getattr(args, name), wanted) for name, wanted in columns.items()]
    return settings.model_validate_json(args.cfg), *tables
