"""Keep the teacher's completions whose final answer is right as training examples, and report the yield."""

import argparse
import sys
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seed, examples, at_least, teacher")
    parser.add_argument("--trajectories", required=True, nargs="+", type=Path, help="shards of the teacher, in order")
    parser.add_argument("--output", required=True, type=Path, help="training examples to write (JSONL)")
    parser.add_argument("--report", required=True, type=Path, help="yield and lengths to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.files import write_csv
    from rlgen.tasks.samples import write_rows
    from rlgen.teacher.trajectories import CollectTrajectories, collect

    cfg = CollectTrajectories.model_validate_json(args.cfg)
    found = collect(args.trajectories, cfg.teacher)
    write_csv(args.report, found.report())
    write_rows(args.output, found.examples(cfg.at_least, cfg.seed))
    print(found.said(cfg.examples), file=sys.stderr)


if __name__ == "__main__":
    main()
