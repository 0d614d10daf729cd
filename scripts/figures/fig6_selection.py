"""Draw figure 6: edits on the selection tasks, against controls and rivals."""

import argparse
from pathlib import Path


def main() -> None:
    """Read one tidy table, write one page as PDF and PNG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cfg", required=True, help="settings of the page (JSON): study, roles, tasks, procedures, states"
    )
    parser.add_argument("--effects", type=Path, required=True, help="effects of all edits and seeds (CSV)")
    parser.add_argument("--output", type=Path, required=True, help="vector page to write (.pdf)")
    parser.add_argument("--png", type=Path, required=True, help="the same page as an image (.png)")
    args = parser.parse_args()

    from rlgen.figures import fig6_selection, page, style

    settings = fig6_selection.Settings.model_validate_json(args.cfg)
    effects = page.read(args.effects, fig6_selection.COLUMNS)
    style.save(fig6_selection.draw(settings, effects), args.output, args.png)


if __name__ == "__main__":
    main()
