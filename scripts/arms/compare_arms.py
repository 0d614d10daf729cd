"""Compare what changed in all arms: the directions of their shifts, and of what the sets chosen on them add."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: see rlgen.arms.settings.CompareArms")
    parser.add_argument("--drifts", required=True, nargs="+", type=Path, help="tables, by model and seed (Parquet)")
    parser.add_argument("--dictionaries", nargs="*", default=[], type=Path, help="folders, by procedure and seed")
    parser.add_argument("--sets", nargs="*", default=[], type=Path, help="set.json, by procedure and seed")
    parser.add_argument("--completions", nargs="*", default=[], type=Path, help="by procedure and seed (safetensors)")
    parser.add_argument("--output", required=True, type=Path, help="table of all pairs of arms to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.completions import Completions
    from rlgen.arms.settings import CompareArms
    from rlgen.arms.shared import shared_table
    from rlgen.compute import start
    from rlgen.files import read_parquet, write_csv
    from rlgen.interventions.mean_change import Found

    cfg = CompareArms.model_validate_json(args.cfg)
    start(cfg.threads)
    drifts = [(model, seed) for model, _ in cfg.arms for seed in cfg.seeds]
    runs = [(model, seed, readout) for model, readout in cfg.sets for seed in cfg.seeds]
    files = zip(runs, args.dictionaries, args.sets, args.completions, strict=True)
    sets = {
        (model, seed): (Found.load(folder, chosen, readout), Completions.load(completions))
        for (model, seed, readout), folder, chosen, completions in files
    }
    moved = {run: read_parquet(path) for run, path in zip(drifts, args.drifts, strict=True)}
    write_csv(args.output, shared_table(moved, sets, cfg))


if __name__ == "__main__":
    main()
