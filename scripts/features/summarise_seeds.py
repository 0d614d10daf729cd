"""Put the tables of all seeds into one, with a column that says which seed."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seeds")
    parser.add_argument("--tables", required=True, nargs="+", type=Path, help="tables (CSV), one per seed")
    parser.add_argument("--output", required=True, type=Path, help="table of all seeds to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.files import read_csv, write_csv
    from rlgen.tables import SummariseSeeds, stacked

    cfg = SummariseSeeds.model_validate_json(args.cfg)
    write_csv(args.output, stacked([read_csv(path) for path in args.tables], [{"seed": seed} for seed in cfg.seeds]))


if __name__ == "__main__":
    main()
