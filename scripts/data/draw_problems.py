"""Put published problems into an order of the seed's own: what SFT and RL train on (docs/method.md, section 1)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seed, examples, completions")
    parser.add_argument("--problems", required=True, type=Path, help="problems (JSONL)")
    parser.add_argument("--output", required=True, type=Path, help="training examples (JSONL)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.tasks.problems import DrawProblems, drawn
    from rlgen.tasks.samples import write_rows

    cfg = DrawProblems.model_validate_json(args.cfg)
    write_rows(args.output, drawn(args.problems, cfg.examples, cfg.completions, cfg.seed))


if __name__ == "__main__":
    main()
