"""Evaluate every checkpoint of a model on all tasks: one row per checkpoint and sample (docs/method.md, section 2)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seed, threads, model, states, evaluation")
    parser.add_argument("--checkpoints", required=True, nargs="+", type=Path, help="checkpoint folders, one per state")
    parser.add_argument("--tasks", required=True, nargs="+", type=Path, help="evaluation samples (JSONL)")
    parser.add_argument("--output", required=True, type=Path, help="table of per-sample scores (Parquet)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd

    from rlgen.behaviour.evaluator import EvaluateModel, Evaluator
    from rlgen.behaviour.own_format import guesses, own_format
    from rlgen.compute import start
    from rlgen.files import write_parquet
    from rlgen.models.checkpoints import load_model, load_tokenizer
    from rlgen.tasks.samples import read_samples

    cfg = EvaluateModel.model_validate_json(args.cfg)
    device = start(cfg.threads)
    settings, n = cfg.evaluation, len(cfg.states)
    tokenizer = load_tokenizer(args.checkpoints[0])
    evaluator = Evaluator(
        read_samples(args.tasks), tokenizer, settings.max_new_tokens, settings.answer_marker, settings.batch_size
    )
    guessed, parts = guesses(evaluator.samples), []
    for number, (state, folder) in enumerate(zip(cfg.states, args.checkpoints, strict=True), start=1):
        columns = {"model": cfg.model, "state": state, "checkpoint": number, "steps_share": number / n}
        model = load_model(folder, device)
        columns |= evaluator.table(evaluator.score(model)) | {"own_format": own_format(model, evaluator)} | guessed
        parts.append(pd.DataFrame(columns))
    write_parquet(args.output, pd.concat(parts, ignore_index=True))


if __name__ == "__main__":
    main()
