"""Train a model by reinforcement learning on right final answers (docs/method.md, section 1)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seed, threads, name, model, answer_marker")
    parser.add_argument("--parent", required=True, type=Path, help="checkpoint folder to start from")
    parser.add_argument("--training", required=True, type=Path, help="training examples (JSONL)")
    parser.add_argument("--output", required=True, type=Path, help="folder for checkpoint1/ ... and curves.csv")
    parser.add_argument("--state", type=Path, help="what a killed run continues from; nothing is kept without it")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd

    from rlgen.compute import start
    from rlgen.files import write_csv
    from rlgen.models import load_model, load_tokenizer
    from rlgen.samples import read_examples
    from rlgen.settings.models import TrainGRPO

    cfg = TrainGRPO.model_validate_json(args.cfg)
    start(cfg.threads)
    examples = read_examples(args.training, cfg.model.prompts)
    model, tokenizer = load_model(args.parent), load_tokenizer(args.parent)

    from rlgen.grpo import train  # TRL takes seconds to import: after everything that may refuse

    marker, seed = cfg.answer_marker, cfg.seed
    curves = train(model, tokenizer, examples, cfg.model, marker, seed, args.output, args.state, cfg.name)
    write_csv(args.output / "curves.csv", pd.DataFrame(curves))


if __name__ == "__main__":
    main()
