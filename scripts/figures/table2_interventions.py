"""Write table 2: effects of all edits at the chosen dose, beside random controls."""

import argparse
from pathlib import Path


def main() -> None:
    """Read one tidy table, write it as CSV and LaTeX."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cfg", required=True, help="settings of the page (JSON): study, roles, tasks, procedures, states"
    )
    parser.add_argument("--effects", type=Path, required=True, help="effects of all edits and seeds (CSV)")
    parser.add_argument("--output", type=Path, required=True, help="table to write (.csv), every number")
    parser.add_argument("--tex", type=Path, required=True, help="the same as LaTeX (.tex), seeds side by side")
    args = parser.parse_args()

    from rlgen.figures import page, tables

    settings = page.Settings.model_validate_json(args.cfg)
    table = page.read(args.effects, tables.EFFECT_COLUMNS)
    note = "Cells: mean over seeds (every seed), test half, dose chosen on the discovery half; flips: mean over seeds."
    tables.write(*tables.table2(settings, table), args.output, args.tex, settings, note)


if __name__ == "__main__":
    main()
