"""Read reference and tuned model on the tuned one's own completions (docs/method.md, section 7)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: threads, reference, tuned, layer")
    parser.add_argument("--reference", required=True, type=Path, help="checkpoint folder of the reference")
    parser.add_argument("--tuned", required=True, type=Path, help="checkpoint folder of the tuned model")
    parser.add_argument("--reference-behaviour", required=True, type=Path, help="behaviour table of the reference")
    parser.add_argument("--tuned-behaviour", required=True, type=Path, help="behaviour table of the tuned model")
    parser.add_argument(
        "--tasks", required=True, nargs="+", type=Path, help="evaluation samples (JSONL), for the prompts"
    )
    parser.add_argument("--output", required=True, type=Path, help="completions file (safetensors)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.completion_harvest import HarvestCompletions, harvest_completions
    from rlgen.compute import start
    from rlgen.files import read_parquet
    from rlgen.models.checkpoints import load_model, load_tokenizer
    from rlgen.tasks.samples import read_samples

    cfg = HarvestCompletions.model_validate_json(args.cfg)
    device = start(cfg.threads)
    behaviours = [
        table[table["state"] == state]
        for table, state in (
            (read_parquet(args.reference_behaviour), cfg.reference),
            (read_parquet(args.tuned_behaviour), cfg.tuned),
        )
    ]
    models = [load_model(folder, device) for folder in (args.reference, args.tuned)]
    harvest_completions(models, load_tokenizer(args.tuned), read_samples(args.tasks), behaviours, cfg.layer).save(
        args.output
    )


if __name__ == "__main__":
    main()
