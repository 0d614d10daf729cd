"""Evaluate every checkpoint of a model on shipped tasks, a row per sample each (docs/method.md, section 2)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seed, threads, model, states, benchmarks, evaluation")
    parser.add_argument("--checkpoints", required=True, nargs="+", type=Path, help="checkpoint folders, one per state")
    parser.add_argument("--tasks", required=True, nargs="+", type=Path, help="evaluation samples (JSONL)")
    parser.add_argument(
        "--docs", required=True, nargs="+", type=Path, help="documents (JSONL), in the order of benchmarks"
    )
    parser.add_argument("--output", required=True, type=Path, help="table of per-sample scores (Parquet)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.behaviour.lm_eval import EvaluateBenchmarks, evaluate_checkpoints, read_tasks
    from rlgen.compute import start
    from rlgen.files import write_parquet
    from rlgen.tasks.samples import read_samples

    cfg = EvaluateBenchmarks.model_validate_json(args.cfg)
    device = start(cfg.threads)
    tasks = read_tasks(read_samples(args.tasks), args.docs, cfg.benchmarks, cfg.evaluation)
    write_parquet(args.output, evaluate_checkpoints(cfg, args.checkpoints, tasks, device))


if __name__ == "__main__":
    main()
