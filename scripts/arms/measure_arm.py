"""How far every checkpoint of one arm has moved from the reference, per task (docs/method.md, section 13)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: see rlgen.arms.settings.MeasureArm")
    parser.add_argument("--reference", required=True, type=Path, help="checkpoint folder of the reference")
    parser.add_argument("--checkpoints", required=True, nargs="+", type=Path, help="the arm's folders, one per state")
    parser.add_argument("--tasks", required=True, nargs="+", type=Path, help="evaluation samples (JSONL)")
    parser.add_argument("--dictionary", type=Path, help="dictionary folder of the procedure that is watched")
    parser.add_argument("--output", required=True, type=Path, help="table to write (Parquet)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd

    from rlgen.arms.drift import drift, reference_texts
    from rlgen.arms.readouts import Reader
    from rlgen.arms.settings import MeasureArm
    from rlgen.compute import start
    from rlgen.dictionaries.crosscoder import Crosscoder
    from rlgen.files import write_parquet
    from rlgen.models.checkpoints import load_model, load_tokenizer
    from rlgen.progress import Progress
    from rlgen.tasks.samples import read_samples

    cfg = MeasureArm.model_validate_json(args.cfg)
    device = start(cfg.threads)
    reference, tokenizer = load_model(args.reference, device), load_tokenizer(args.reference)
    samples = read_samples(args.tasks)
    texts = reference_texts(reference, tokenizer, samples, cfg.prompts, cfg.max_new_tokens, cfg.seed)
    reader = None
    if args.dictionary:
        reader = Reader.of(Crosscoder.load(args.dictionary, cfg.readout), cfg.readout, cfg.states[-1])
    progress, parts = Progress("drift", len(cfg.states), "checkpoints"), []
    for number, (state, folder) in enumerate(zip(cfg.states, args.checkpoints, strict=True), start=1):
        rows = drift(reference, load_model(folder, device), texts, cfg.layer, reader)
        parts.append(rows.assign(state=state, checkpoint=number))
        progress.update(number)
    write_parquet(args.output, pd.concat(parts, ignore_index=True))


if __name__ == "__main__":
    main()
