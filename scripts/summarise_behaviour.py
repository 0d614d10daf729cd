"""Summarise per-sample answers of all models and seeds: accuracies with intervals, and all training curves."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: models, seeds, bootstrap")
    parser.add_argument("--behaviour", required=True, nargs="+", type=Path, help="tables, model by model, seed by seed")
    parser.add_argument("--curves", required=True, nargs="+", type=Path, help="training curves, in the same order")
    parser.add_argument("--accuracy", required=True, type=Path, help="accuracies to write (CSV)")
    parser.add_argument("--all-curves", required=True, type=Path, help="all training curves to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd

    from rlgen.behaviour_tables import accuracy_table
    from rlgen.files import read_csv, read_parquet, write_csv
    from rlgen.settings.summaries import SummariseBehaviour
    from rlgen.tables import stacked

    cfg = SummariseBehaviour.model_validate_json(args.cfg)
    jobs = [{"model": model, "seed": seed} for model in cfg.models for seed in cfg.seeds]
    tables = [
        accuracy_table(read_parquet(path), job["seed"], cfg.bootstrap)
        for path, job in zip(args.behaviour, jobs, strict=True)
    ]
    write_csv(args.accuracy, pd.concat(tables, ignore_index=True))
    write_csv(args.all_curves, stacked([read_csv(path) for path in args.curves], jobs))


if __name__ == "__main__":
    main()
