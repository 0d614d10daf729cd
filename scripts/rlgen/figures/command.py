"""What the scripts of all pages share: their options, and the tables behind them. Nothing heavy before it is needed."""

import argparse
from pathlib import Path
from typing import Any, Literal

TABLES = {  # option -> what the table holds
    "accuracy": "accuracies of all models, checkpoints and seeds (CSV)",
    "contexts": "contexts of one dictionary, a table per seed in their order (Parquet)",
    "quality": "quality, one table per dictionary (CSV)",
    "features": "statistics of all latents, one table per dictionary (Parquet)",
    "dynamics": "overlaps and displacements of all seeds (CSV)",
    "scores": "scores of all procedures and seeds (Parquet)",
    "sets": "mediating sets of all procedures and seeds (CSV)",
    "overlap": "overlaps of the tasks' lists (CSV)",
    "effects": "effects of all edits and seeds (CSV)",
    "comparisons": "the set minus each rival, paired (CSV)",
    "controls": "random sets drawn and readouts refused (CSV)",
    "recovery": "recovery of the planted truth by all methods and seeds (CSV)",
    "curves": "effects by number of features, score and seed (CSV)",
    "areas": "areas under these curves (CSV)",
    "rotation": "effects under sets that a task had a say in, and none (CSV)",
    "arms": "all arms and checkpoints (CSV)",
    "as_far": "arms that have moved as far as the target (CSV)",
    "explained": "rank correlations with who generalizes (CSV)",
    "shared": "cosines between all arms of what changed in them (CSV)",
    "foretold": "how well readings at each checkpoint rank arms by their end (CSV)",
    "equivalence": "shared latents ablated in both models, a table per seed (CSV)",
    "maps": "maps of the stream without a dictionary, a table per seed (CSV)",
    "sensitivity": "all variants and seeds against the main procedure (CSV)",
}


def page_arguments(description: str, second: Literal["png", "tex"], *tables: str) -> argparse.Namespace:
    """The options of a page's script.

    `tables`: names from TABLES; each takes any number of files of the same columns. `second` is the page's other form
    beside `--output`: the image of a figure, the LaTeX of a table, which has HTML besides.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--cfg", required=True, help="settings of the page (JSON), as rlgen.study.pages makes them")
    for name in tables:
        parser.add_argument(f"--{name}", type=Path, required=True, nargs="*", help=TABLES[name])
    main, beside = {
        "png": ("vector page to write (.pdf)", "the same page as an image (.png)"),
        "tex": ("table to write (.csv), every number", "the same as LaTeX (.tex), seeds side by side"),
    }[second]
    parser.add_argument("--output", type=Path, required=True, help=main)
    parser.add_argument(f"--{second}", type=Path, required=True, help=beside)
    if second == "tex":
        parser.add_argument("--html", type=Path, required=True, help="the same as a page of a report (.html)")
    return parser.parse_args()


def read_page(args: argparse.Namespace, settings: type, **columns: list[str]) -> tuple[Any, ...]:
    """The page's settings, and its tables in the order of `columns` (table -> columns it must hold).

    Raises ArtifactError naming a file that cannot be read or lacks a column.
    """
    from rlgen.figures.page import read_all

    tables = [read_all(getattr(args, name), wanted) for name, wanted in columns.items()]
    return settings.model_validate_json(args.cfg), *tables
