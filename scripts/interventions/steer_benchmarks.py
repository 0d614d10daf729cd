"""Steer published models without a dictionary: mean shifts, random directions, nothing (docs/method.md, section 8).

The unedited models are compared with the plain ones of the behaviour tables.
"""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: see rlgen.settings.benchmark_interventions.SteerBenchmarks")
    parser.add_argument("--completions", required=True, type=Path, help="completions of the target")
    parser.add_argument(
        "--models", required=True, nargs="+", type=Path, help="checkpoint folders, in the order of models"
    )
    parser.add_argument("--tasks", required=True, nargs="+", type=Path, help="evaluation samples (JSONL)")
    parser.add_argument("--docs", required=True, nargs="+", type=Path, help="documents of the tasks (JSONL)")
    parser.add_argument("--behaviour", required=True, nargs="+", type=Path, help="behaviour tables of the models")
    parser.add_argument("--output", required=True, type=Path, help="interventions table (Parquet)")
    parser.add_argument("--agreement", required=True, type=Path, help="plain against hooked models (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd

    from rlgen.activations.completions import Completions
    from rlgen.compute import start
    from rlgen.files import read_parquet, write_csv, write_parquet
    from rlgen.interventions.agreement import agreement, warn_disagreement
    from rlgen.interventions.benchmarks import BenchmarkBench, SteerBenchmarks
    from rlgen.interventions.runs import run_steering
    from rlgen.tasks.samples import read_samples

    cfg = SteerBenchmarks.model_validate_json(args.cfg)
    device = start(cfg.threads)
    folders = dict(zip(cfg.models, args.models, strict=True))
    bench = BenchmarkBench(cfg, folders, read_samples(args.tasks), args.docs, device)
    table = run_steering(cfg, None, Completions.load(args.completions), bench)
    compared = agreement(pd.concat([read_parquet(path) for path in args.behaviour], ignore_index=True), table)
    warn_disagreement(compared, cfg.evaluation.agreement)
    write_csv(args.agreement, compared)
    write_parquet(args.output, table)


if __name__ == "__main__":
    main()
