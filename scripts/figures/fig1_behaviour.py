"""Draw figure 1: accuracy of the models by task role, their steps in the tasks' own format, learning again."""

import argparse
from pathlib import Path


def main() -> None:
    """Read a tidy table, write one page as PDF and PNG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cfg", required=True, help="settings of the page (JSON): study, roles, tasks, models, relearning, ..."
    )
    parser.add_argument(
        "--accuracy", type=Path, required=True, help="accuracy.csv of all models, checkpoints and seeds"
    )
    parser.add_argument("--output", type=Path, required=True, help="vector page to write (.pdf)")
    parser.add_argument("--png", type=Path, required=True, help="the same page as an image (.png)")
    args = parser.parse_args()

    from rlgen.figures import fig1_behaviour, page, style

    settings = fig1_behaviour.Settings.model_validate_json(args.cfg)
    accuracy = page.read(args.accuracy, fig1_behaviour.ACCURACY_COLUMNS)
    style.save(fig1_behaviour.draw(settings, accuracy), args.output, args.png)


if __name__ == "__main__":
    main()
