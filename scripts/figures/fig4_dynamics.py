"""Draw figure 4: overlap of the tuned-specific features of all checkpoints."""

import argparse
from pathlib import Path


def main() -> None:
    """Read one tidy table, write one page as PDF and PNG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="settings of the page (JSON): study, roles, tasks, models, top")
    parser.add_argument("--dynamics", type=Path, required=True, help="overlaps and displacements of all seeds (CSV)")
    parser.add_argument("--output", type=Path, required=True, help="vector page to write (.pdf)")
    parser.add_argument("--png", type=Path, required=True, help="the same page as an image (.png)")
    args = parser.parse_args()

    from rlgen.figures import fig4_dynamics, page, style

    settings = fig4_dynamics.Settings.model_validate_json(args.cfg)
    dynamics = page.read(args.dynamics, fig4_dynamics.COLUMNS)
    style.save(fig4_dynamics.draw(settings, dynamics), args.output, args.png)


if __name__ == "__main__":
    main()
