"""Effects of varied sets with intervals: curves over sizes, areas under them, rotation of the tasks' roles."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seeds, score, reference, tuned, bootstrap")
    parser.add_argument("--varied", required=True, nargs="+", type=Path, help="answers under every set, seed by seed")
    parser.add_argument("--steering", required=True, nargs="+", type=Path, help="answers of unedited models, likewise")
    parser.add_argument("--curves", required=True, type=Path, help="effect by number of features to write (CSV)")
    parser.add_argument("--areas", required=True, type=Path, help="areas under the curves to write (CSV)")
    parser.add_argument("--rotation", required=True, type=Path, help="effects in and out of the choice to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd

    from rlgen.extended.table import SummariseVaried, varied_tables
    from rlgen.files import read_parquet, write_csv

    cfg = SummariseVaried.model_validate_json(args.cfg)
    by_seed = [
        varied_tables(*map(read_parquet, paths), cfg, seed)
        for seed, *paths in zip(cfg.seeds, args.varied, args.steering, strict=True)
    ]
    for output, parts in zip((args.curves, args.areas, args.rotation), zip(*by_seed, strict=True), strict=True):
        write_csv(output, pd.concat(parts))


if __name__ == "__main__":
    main()
