"""Write the prompts that SFT and RL train on, with the teacher's completions and the right answers (JSONL)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: salt, seed, tasks, split, examples")
    parser.add_argument("--output", required=True, type=Path, help="training examples (JSONL)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.organism.tasks import MakeTrainingSet, training_examples
    from rlgen.tasks.samples import write_rows

    cfg = MakeTrainingSet.model_validate_json(args.cfg)
    write_rows(args.output, training_examples(cfg.tasks, cfg.examples, cfg.salt, cfg.split, cfg.seed))


if __name__ == "__main__":
    main()
