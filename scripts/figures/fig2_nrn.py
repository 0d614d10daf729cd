"""Draw figure 2: norm ratios of the latents of both pairs, with nulls and latent scaling."""

import argparse
from pathlib import Path


def main() -> None:
    """Read tidy tables, write one page as PDF and PNG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cfg", required=True, help="settings of the page (JSON): study, roles, tasks, pairs, nulls, recipes"
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

    from rlgen.figures import fig2_nrn, page, style

    settings = fig2_nrn.Settings.model_validate_json(args.cfg)
    features = page.read_all(args.features, fig2_nrn.COLUMNS)
    style.save(fig2_nrn.draw(settings, features), args.output, args.png)


if __name__ == "__main__":
    main()
