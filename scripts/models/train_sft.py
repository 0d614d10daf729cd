"""Fine-tune a model on solutions, a teacher's or a model's own (docs/method.md, section 1)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seed, threads, name, model, chat")
    parser.add_argument("--parent", required=True, type=Path, help="checkpoint folder to start from")
    parser.add_argument(
        "--training", required=True, type=Path, help="training examples, or solutions that models wrote (JSONL)"
    )
    parser.add_argument("--edit", type=Path, help="edit whose reading is held to the parent's (safetensors)")
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
    from rlgen.models.fixed_edits import FixedEdit
    from rlgen.tasks.samples import read_examples
    from rlgen.training import processes
    from rlgen.training.settings import TrainSFT
    from rlgen.training.solutions import solutions_to_learn
    from rlgen.training.texts import set_end_token, sft_rows
    from rlgen.training.trainer import Run

    cfg = TrainSFT.model_validate_json(args.cfg)
    start(cfg.threads)
    processes.join(cfg.model.scale.gpus if cfg.model.scale else 1)
    own = cfg.model.solutions is not None
    examples = (
        solutions_to_learn(args.training, cfg.model.keep, cfg.model.least)
        if own
        else read_examples(args.training, cfg.model.least)
    )
    dtype, tokenizer = weights_dtype(args.parent), load_tokenizer(args.parent)
    set_end_token(tokenizer, args.parent, cfg.model.scale)
    rows = sft_rows(examples, tokenizer, args.parent, cfg)
    edit = FixedEdit.load(args.edit) if args.edit else None
    model = load_model(args.parent, dtype=torch.float32)
    holding = (edit, load_model(args.parent, dtype=torch.float32)) if edit else None

    from rlgen.training.sft import train  # TRL takes seconds to import: after everything that may refuse

    into = Run(cfg.name, cfg.seed, args.output, args.state, dtype)
    curves = train(model, tokenizer, rows, cfg.model, into, holding)
    if processes.first():
        write_csv(args.output / "curves.csv", pd.DataFrame(curves))


if __name__ == "__main__":
    main()
