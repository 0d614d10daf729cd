"""Pretrain a model from scratch on documents by careful and careless authors (docs/method.md, section 1)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: salt, seed, threads, name, model, data")
    parser.add_argument("--tokenizer", required=True, type=Path, help="tokenizer folder")
    parser.add_argument("--output", required=True, type=Path, help="folder for checkpoint1/ and curves.csv")
    parser.add_argument("--state", type=Path, help="what a killed run continues from; nothing is kept without it")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd

    from rlgen.compute import start
    from rlgen.files import write_csv
    from rlgen.models.checkpoints import load_tokenizer, save_checkpoint
    from rlgen.organism.pretraining import PretrainModel, new_model, train
    from rlgen.progress import Progress
    from rlgen.resume import Resume

    cfg = PretrainModel.model_validate_json(args.cfg)
    device = start(cfg.threads)
    tokenizer = load_tokenizer(args.tokenizer)
    model = new_model(cfg.model.architecture, tokenizer, cfg.seed).to(device)
    progress = Progress(f"{cfg.name}: pretraining", cfg.model.steps, "steps")
    curve = train(model, tokenizer, cfg.model, cfg.data, cfg.salt, cfg.seed, progress, Resume(args.state))
    save_checkpoint(model, tokenizer, args.output / "checkpoint1")
    write_csv(args.output / "curves.csv", pd.DataFrame(curve))


if __name__ == "__main__":
    main()
