"""Train a model on pairs of solutions: the better one is to become likelier (docs/method.md, section 1)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seed, threads, name, model, chat")
    parser.add_argument("--parent", required=True, type=Path, help="checkpoint folder to start from")
    parser.add_argument("--solutions", required=True, type=Path, help="solutions that a model wrote (JSONL)")
    parser.add_argument("--training", type=Path, help="training examples (JSONL), where the teacher's are preferred")
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
    from rlgen.training.settings import TrainDPO
    from rlgen.training.solutions import preference_pairs
    from rlgen.training.texts import dpo_rows, set_end_token
    from rlgen.training.trainer import Run

    cfg = TrainDPO.model_validate_json(args.cfg)
    start(cfg.threads)
    processes.join(cfg.model.scale.gpus if cfg.model.scale else 1)
    teacher = read_examples(args.training, 1) if args.training else None
    pairs = preference_pairs(args.solutions, teacher, cfg.model.batch_size * cfg.model.checkpoints)
    dtype, tokenizer = weights_dtype(args.parent), load_tokenizer(args.parent)
    set_end_token(tokenizer, args.parent, cfg.model.scale)
    rows = dpo_rows(pairs, tokenizer, args.parent, cfg)
    model, parent = (load_model(args.parent, dtype=torch.float32) for _ in range(2))

    from rlgen.training.dpo import train  # TRL takes seconds to import: after everything that may refuse

    curves = train(model, parent, tokenizer, rows, cfg.model, Run(cfg.name, cfg.seed, args.output, args.state, dtype))
    if processes.first():
        write_csv(args.output / "curves.csv", pd.DataFrame(curves))


if __name__ == "__main__":
    main()
