"""Summarise per-sample answers of all models and seeds: accuracies with intervals, and all training curves."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: models, seeds, groups, bootstrap")
    parser.add_argument("--behaviour", required=True, nargs="+", type=Path, help="tables, by model, seed, group")
    parser.add_argument("--curves", required=True, nargs="*", type=Path, help="training curves, by model, seed")
    parser.add_argument("--accuracy", required=True, type=Path, help="accuracies to write (CSV)")
    parser.add_argument("--all-curves", required=True, type=Path, help="all training curves to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd

    from rlgen.behaviour.tables import CURVE_COLUMNS, SummariseBehaviour, accuracy_table
    from rlgen.files import read_csv, read_parquet, write_csv
    from rlgen.tables import stacked

    cfg = SummariseBehaviour.model_validate_json(args.cfg)
    seeds = [seed for _ in cfg.models for seed in cfg.seeds for _ in cfg.groups]
    behaviour = [read_parquet(path) for path in args.behaviour]
    tables = [accuracy_table(rows, seed, cfg.bootstrap) for rows, seed in zip(behaviour, seeds, strict=True)]
    write_csv(args.accuracy, pd.concat(tables, ignore_index=True))
    trained = [{"model": model, "seed": seed} for model in cfg.trained for seed in cfg.seeds]
    curves = [read_csv(path) for path in args.curves]
    write_csv(args.all_curves, stacked(curves, trained) if curves else pd.DataFrame(columns=CURVE_COLUMNS))


if __name__ == "__main__":
    main()
