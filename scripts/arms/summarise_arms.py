"""Put all arms and seeds beside one another, and ask which distance goes with who generalizes."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: arms, seeds, reference, target, bootstrap")
    parser.add_argument("--accuracy", required=True, type=Path, help="accuracies of all models (CSV)")
    parser.add_argument("--drifts", required=True, nargs="+", type=Path, help="tables, by model and seed (Parquet)")
    parser.add_argument("--arms", required=True, type=Path, help="table of all arms and checkpoints to write (CSV)")
    parser.add_argument("--as-far", required=True, type=Path, help="arms that have moved as far as the target (CSV)")
    parser.add_argument("--explained", required=True, type=Path, help="rank correlations to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.arms.settings import SummariseArms
    from rlgen.arms.table import arms_table, as_far_table, explained_table
    from rlgen.files import read_csv, read_parquet, write_csv

    cfg = SummariseArms.model_validate_json(args.cfg)
    runs = [(model, seed) for model, _ in cfg.arms for seed in cfg.seeds]
    drifts = {run: read_parquet(path) for run, path in zip(runs, args.drifts, strict=True)}
    arms = arms_table(read_csv(args.accuracy), drifts, cfg)
    write_csv(args.arms, arms)
    write_csv(args.as_far, as_far_table(arms, cfg))
    write_csv(args.explained, explained_table(arms, cfg))


if __name__ == "__main__":
    main()
