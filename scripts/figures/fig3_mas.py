"""Draw figure 3: to which of three models the latents of one common dictionary belong."""

import argparse
from pathlib import Path


def main() -> None:
    """Read tidy tables, write one page as PDF and PNG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cfg", required=True, help="settings of the page (JSON): study, roles, tasks, triple, members, recipes"
    )
    parser.add_argument(
        "--features",
        type=Path,
        required=True,
        nargs="+",
        help="statistics of all latents, one table per dictionary (Parquet)",
    )
    parser.add_argument("--output", type=Path, required=True, help="vector page to write (.pdf)")
    parser.add_argument("--png", type=Path, required=True, help="the same page as an image (.png)")
    args = parser.parse_args()

    from rlgen.figures import fig3_mas, page, style

    settings = fig3_mas.Settings.model_validate_json(args.cfg)
    features = page.read_all(args.features, fig3_mas.COLUMNS)
    style.save(fig3_mas.draw(settings, features), args.output, args.png)


if __name__ == "__main__":
    main()
