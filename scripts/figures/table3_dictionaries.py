"""Write table 3: quality of all dictionaries on held-out rows."""

import argparse
from pathlib import Path


def main() -> None:
    """Read tidy tables, write them as CSV and LaTeX."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="settings of the page (JSON): study, roles, tasks")
    parser.add_argument(
        "--quality", type=Path, required=True, nargs="+", help="quality, one table per dictionary (CSV)"
    )
    parser.add_argument(
        "--features",
        type=Path,
        required=True,
        nargs="*",
        help="statistics of all latents, one table per pair (Parquet)",
    )
    parser.add_argument("--output", type=Path, required=True, help="table to write (.csv), every number")
    parser.add_argument("--tex", type=Path, required=True, help="the same as LaTeX (.tex), seeds side by side")
    args = parser.parse_args()

    from rlgen.figures import page, tables

    settings = page.Page.model_validate_json(args.cfg)
    quality = page.read_all(args.quality, tables.QUALITY_COLUMNS)
    features = page.read_all(args.features, tables.FEATURE_COLUMNS)
    note = "Cells: mean over seeds (every seed), held-out rows."
    tables.write(*tables.table3(settings, quality, features), args.output, args.tex, settings, note)


if __name__ == "__main__":
    main()
