"""Draw figure 5: scores per task, mediating sets, and their overlap against chance."""

import argparse
from pathlib import Path


def main() -> None:
    """Read three tidy tables, write one page as PDF and PNG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="settings of the page (JSON): study, roles, tasks, procedures")
    parser.add_argument("--scores", type=Path, required=True, help="scores of all procedures and seeds (Parquet)")
    parser.add_argument("--overlap", type=Path, required=True, help="overlaps of the tasks' lists (CSV)")
    parser.add_argument("--sets", type=Path, required=True, help="mediating sets (CSV)")
    parser.add_argument("--output", type=Path, required=True, help="vector page to write (.pdf)")
    parser.add_argument("--png", type=Path, required=True, help="the same page as an image (.png)")
    args = parser.parse_args()

    from rlgen.figures import fig5_mediation, page, style

    settings = fig5_mediation.Settings.model_validate_json(args.cfg)
    scores = page.read(args.scores, fig5_mediation.SCORE_COLUMNS)
    overlap = page.read(args.overlap, fig5_mediation.OVERLAP_COLUMNS)
    sets = page.read(args.sets, fig5_mediation.SET_COLUMNS)
    style.save(fig5_mediation.draw(settings, scores, overlap, sets), args.output, args.png)


if __name__ == "__main__":
    main()
