"""Put scores, sets and overlaps of all procedures and seeds into one table each."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: procedures, seeds")
    parser.add_argument(
        "--scores", required=True, nargs="+", type=Path, help="tables, procedure by procedure, seed by seed"
    )
    parser.add_argument("--sets", required=True, nargs="+", type=Path, help="sets (JSON), in the same order")
    parser.add_argument("--overlap", required=True, nargs="+", type=Path, help="overlaps, in the same order")
    parser.add_argument("--all-scores", required=True, type=Path, help="scores of all to write (Parquet)")
    parser.add_argument("--all-sets", required=True, type=Path, help="sets of all to write (CSV)")
    parser.add_argument("--all-overlap", required=True, type=Path, help="overlaps of all to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.features.tables import SummariseMediation, read_set
    from rlgen.files import read_csv, read_parquet, write_csv, write_parquet
    from rlgen.tables import stacked

    cfg = SummariseMediation.model_validate_json(args.cfg)
    jobs = [{"procedure": procedure, "seed": seed} for procedure in cfg.procedures for seed in cfg.seeds]
    write_parquet(args.all_scores, stacked([read_parquet(path) for path in args.scores], jobs))
    write_csv(args.all_sets, stacked([read_set(path) for path in args.sets], jobs))
    write_csv(args.all_overlap, stacked([read_csv(path) for path in args.overlap], jobs))


if __name__ == "__main__":
    main()
