"""Draw figure 8: recovery of the planted truth, and effects against steering by it."""

import argparse
from pathlib import Path


def main() -> None:
    """Read two tidy tables, write one page as PDF and PNG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cfg", required=True, help="settings of the page (JSON): study, roles, tasks, procedures, states"
    )
    parser.add_argument("--recovery", type=Path, required=True, help="recovery of all methods and seeds (CSV)")
    parser.add_argument("--effects", type=Path, required=True, help="effects of all edits and seeds (CSV)")
    parser.add_argument("--output", type=Path, required=True, help="vector page to write (.pdf)")
    parser.add_argument("--png", type=Path, required=True, help="the same page as an image (.png)")
    args = parser.parse_args()

    from rlgen.figures import fig8_recovery, page, style

    settings = fig8_recovery.Settings.model_validate_json(args.cfg)
    recovery = page.read(args.recovery, fig8_recovery.RECOVERY_COLUMNS)
    effects = page.read(args.effects, fig8_recovery.EFFECT_COLUMNS)
    style.save(fig8_recovery.draw(settings, recovery, effects), args.output, args.png)


if __name__ == "__main__":
    main()
