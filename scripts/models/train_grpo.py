"""Train a model by reinforcement learning on right final answers (docs/method.md, section 1)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seed, threads, name, model, chat, answer_marker")
    parser.add_argument("--parent", required=True, type=Path, help="checkpoint folder to start from")
    parser.add_argument("--training", required=True, type=Path, help="training examples (JSONL)")
    parser.add_argument("--output", required=True, type=Path, help="folder for checkpoint1/ ... and curves.csv")
    parser.add_argument("--state", type=Path, help="what a killed run continues from; nothing is kept without it")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd
    import torch

    from rlgen.compute import start
    from rlgen.files import write_csv
    from rlgen.models.checkpoints import load_model, load_tokenizer, weights_dtype
    from rlgen.tasks.samples import read_examples
    from rlgen.training import processes
    from rlgen.training.rollouts import check_generator, judge
    from rlgen.training.settings import GRPOScale, TrainGRPO
    from rlgen.training.texts import prompt_rows, set_end_token
    from rlgen.training.trainer import Run

    cfg = TrainGRPO.model_validate_json(args.cfg)
    start(cfg.threads)
    check_generator(cfg.model.scale)
    processes.join(cfg.model.scale.gpus if cfg.model.scale else 1)
    examples = read_examples(args.training, cfg.model.prompts)
    dtype, tokenizer = weights_dtype(args.parent), load_tokenizer(args.parent)
    set_end_token(tokenizer, args.parent, cfg.model.scale)
    rows = prompt_rows(examples, tokenizer, args.parent, cfg)
    model = load_model(args.parent, dtype=torch.float32)

    from rlgen.training.grpo import train  # TRL takes seconds to import: after everything that may refuse

    into = Run(cfg.name, cfg.seed, args.output, args.state, dtype)
    check = cfg.model.scale or GRPOScale()
    with judge(cfg.answer_marker, check.check_workers, check.check_timeout_s) as right:
        curves = train(model, tokenizer, rows, cfg.model, right, into)
    if processes.first():
        write_csv(args.output / "curves.csv", pd.DataFrame(curves))


if __name__ == "__main__":
    main()
