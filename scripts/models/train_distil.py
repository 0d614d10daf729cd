"""Distil another model on the student's own completions (docs/method.md, section 1)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seed, threads, name, model, chat")
    parser.add_argument("--parent", required=True, type=Path, help="checkpoint folder to start from")
    parser.add_argument("--teacher", required=True, type=Path, help="checkpoint folder that is distilled")
    parser.add_argument("--edit", type=Path, help="edit that the teacher answers under (safetensors)")
    parser.add_argument("--training", required=True, type=Path, help="training examples (JSONL), for their prompts")
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
    from rlgen.training.settings import TrainDistil
    from rlgen.training.texts import prompt_rows, set_end_token
    from rlgen.training.trainer import Run

    cfg = TrainDistil.model_validate_json(args.cfg)
    start(cfg.threads)
    examples = read_examples(args.training, cfg.model.prompts)
    dtype, tokenizer = weights_dtype(args.parent), load_tokenizer(args.parent)
    set_end_token(tokenizer, args.parent, cfg.model.scale)
    rows = prompt_rows(examples, tokenizer, args.parent, cfg)
    edit = FixedEdit.load(args.edit) if args.edit else None
    model, teacher = (load_model(folder, dtype=torch.float32) for folder in (args.parent, args.teacher))

    from rlgen.training.distil import train  # TRL takes seconds to import: after everything that may refuse

    into = Run(cfg.name, cfg.seed, args.output, args.state, dtype)
    curves = train(model, teacher, tokenizer, rows, cfg.model, into, edit)
    write_csv(args.output / "curves.csv", pd.DataFrame(curves))


if __name__ == "__main__":
    main()
