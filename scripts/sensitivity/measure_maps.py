"""Map the reference's stream to the tuned model's and edit by parts of the map (docs/method.md, section 11)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: see rlgen.sensitivity.mapped.MeasureMaps")
    parser.add_argument("--shards", required=True, nargs=2, type=Path, help="shard folders: reference, tuned")
    parser.add_argument("--dictionary", required=True, type=Path, help="dictionary folder with features.parquet")
    parser.add_argument("--set", required=True, type=Path, help="set.json of the main procedure")
    parser.add_argument("--completions", required=True, type=Path, help="completions of the tuned model")
    parser.add_argument("--models", required=True, nargs=2, type=Path, help="checkpoints: reference, tuned")
    parser.add_argument("--tasks", required=True, nargs="+", type=Path, help="evaluation samples (JSONL)")
    parser.add_argument("--output", required=True, type=Path, help="table to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.completions import Completions
    from rlgen.activations.shards import Shards
    from rlgen.compute import start
    from rlgen.files import write_csv
    from rlgen.interventions.mean_change import Found
    from rlgen.interventions.subjects import OrganismBench
    from rlgen.sensitivity.mapped import MeasureMaps, maps_table
    from rlgen.tasks.samples import read_samples

    cfg = MeasureMaps.model_validate_json(args.cfg)
    start(cfg.threads)
    bench = OrganismBench(cfg, dict(zip(cfg.models, args.models, strict=True)), read_samples(args.tasks))
    found = Found.load(args.dictionary, args.set, cfg.readout)
    shards, completions = Shards.open(args.shards, cfg.members), Completions.load(args.completions)
    write_csv(args.output, maps_table(cfg, shards, found, completions, bench))


if __name__ == "__main__":
    main()
