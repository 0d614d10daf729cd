"""Say how well a set's reading, and what needs no dictionary, tell at every checkpoint who will generalize."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: see rlgen.arms.settings.ForetellArms")
    parser.add_argument("--arms", required=True, type=Path, help="table of all arms and checkpoints (CSV)")
    parser.add_argument("--drifts", required=True, nargs="+", type=Path, help="tables, by model and seed (Parquet)")
    parser.add_argument("--dictionaries", required=True, nargs="+", type=Path, help="dictionary folders, by seed")
    parser.add_argument("--sets", required=True, nargs="+", type=Path, help="set.json of the procedure, by seed")
    parser.add_argument("--readings", required=True, type=Path, help="table of all readings to write (CSV)")
    parser.add_argument("--foretold", required=True, type=Path, help="table of what they foretell to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.arms.early import foretold_table, readings_table
    from rlgen.arms.readouts import Watched
    from rlgen.arms.settings import ForetellArms
    from rlgen.files import read_csv, read_parquet, write_csv

    cfg = ForetellArms.model_validate_json(args.cfg)
    runs = [(model, seed) for model, _ in cfg.arms for seed in cfg.seeds]
    drifts = {run: read_parquet(path) for run, path in zip(runs, args.drifts, strict=True)}
    places = zip(cfg.seeds, args.dictionaries, args.sets, strict=True)
    watched = {seed: Watched.read(folder, chosen) for seed, folder, chosen in places}
    readings = readings_table(drifts, watched, cfg)
    write_csv(args.readings, readings)
    write_csv(args.foretold, foretold_table(readings, read_csv(args.arms), cfg))


if __name__ == "__main__":
    main()
