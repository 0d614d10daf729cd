"""Read two models on the tuned one's own completions of shipped tasks (docs/method.md, section 7)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cfg", required=True, help="JSON: threads, reference, tuned, layer, completion_tokens, batch_size"
    )
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
    from rlgen.activations.completion_harvest import Files, HarvestBenchmarkCompletions, Reading
    from rlgen.behaviour.continuations import encode_sample

    cfg = HarvestBenchmarkCompletions.model_validate_json(args.cfg)
    files = Files(args.reference, args.tuned, args.reference_behaviour, args.tuned_behaviour, args.tasks)
    files.harvest(cfg, Reading(encode_sample, cfg.completion_tokens, cfg.batch_size, mixed_lengths=True)).save(
        args.output
    )


if __name__ == "__main__":
    main()
