"""Put the quality tables and the feature tables of one dictionary, all recipes and seeds, into one table each."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: dictionary, recipes, seeds")
    parser.add_argument("--quality", required=True, nargs="+", type=Path, help="tables, recipe by recipe, seed by seed")
    parser.add_argument("--features", required=True, nargs="+", type=Path, help="tables, in the same order")
    parser.add_argument("--all-quality", required=True, type=Path, help="quality of all to write (CSV)")
    parser.add_argument("--all-features", required=True, type=Path, help="features of all to write (Parquet)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.files import read_csv, read_parquet, write_csv, write_parquet
    from rlgen.tables import SummariseDictionary, stacked

    cfg = SummariseDictionary.model_validate_json(args.cfg)
    jobs = [
        {"dictionary": cfg.dictionary, "recipe": recipe, "seed": seed} for recipe in cfg.recipes for seed in cfg.seeds
    ]
    write_csv(args.all_quality, stacked([read_csv(path) for path in args.quality], jobs))
    write_parquet(args.all_features, stacked([read_parquet(path) for path in args.features], jobs))


if __name__ == "__main__":
    main()
