"""Steer models without a dictionary: the truth, mean shifts, random directions, nothing (docs/method.md, section 8)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: see rlgen.settings.interventions.Steer")
    parser.add_argument("--truth", required=True, type=Path, help="planted direction")
    parser.add_argument("--completions", required=True, type=Path, help="completions of the target")
    parser.add_argument(
        "--models", required=True, nargs="+", type=Path, help="checkpoint folders, in the order of models"
    )
    parser.add_argument("--tasks", required=True, nargs="+", type=Path, help="evaluation samples (JSONL)")
    parser.add_argument("--output", required=True, type=Path, help="interventions table (Parquet)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.completions import Completions
    from rlgen.compute import start
    from rlgen.files import read_tensors, write_parquet
    from rlgen.interventions.runs import run_steering
    from rlgen.interventions.subjects import OrganismBench, Steer
    from rlgen.tasks.samples import read_samples

    cfg = Steer.model_validate_json(args.cfg)
    start(cfg.threads)
    truth_d = read_tensors(args.truth)[0]["direction"]
    bench = OrganismBench(cfg, dict(zip(cfg.models, args.models, strict=True)), read_samples(args.tasks))
    table = run_steering(cfg, truth_d, Completions.load(args.completions), bench)
    write_parquet(args.output, table)


if __name__ == "__main__":
    main()
