"""Write table 1: final accuracies of all models, per task and seed."""

import argparse
from pathlib import Path


def main() -> None:
    """Read one tidy table, write it as CSV and LaTeX."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="settings of the page (JSON): study, roles, tasks")
    parser.add_argument(
        "--accuracy", type=Path, required=True, help="accuracy.csv of all models, checkpoints and seeds"
    )
    parser.add_argument("--output", type=Path, required=True, help="table to write (.csv), every number")
    parser.add_argument("--tex", type=Path, required=True, help="the same as LaTeX (.tex), seeds side by side")
    args = parser.parse_args()

    from rlgen.figures import page, tables

    settings = page.TasksPage.model_validate_json(args.cfg)
    accuracy = page.read(args.accuracy, tables.ACCURACY_COLUMNS)
    note = "Cells: mean over seeds (every seed), test half."
    tables.write(*tables.table1(settings, accuracy), args.output, args.tex, settings, note)


if __name__ == "__main__":
    main()
