"""Write the evaluation samples of one task that lm-eval ships, and its documents, for jobs without a network."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: task, role, benchmark, chat, and numbers")
    parser.add_argument("--reference", required=True, type=Path, help="checkpoint folder: tokenizer and context")
    parser.add_argument(
        "--training", nargs="*", default=[], type=Path, help="problems that models train on (JSONL), left out"
    )
    parser.add_argument("--samples", required=True, type=Path, help="evaluation samples of both halves (JSONL)")
    parser.add_argument("--docs", required=True, type=Path, help="the task's documents in the same order (JSONL)")
    parser.add_argument("--counts", required=True, type=Path, help="documents found, left out and kept (JSON)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from transformers import AutoConfig

    from rlgen.behaviour.benchmarks import BenchmarkEvaluator
    from rlgen.files import write_json, write_text
    from rlgen.models.checkpoints import load_tokenizer
    from rlgen.sources.prompts import MakeBenchmark, benchmark_samples, documents_text
    from rlgen.tasks.problems import read_problems
    from rlgen.tasks.samples import write_rows
    from rlgen.tasks.shipped import BenchmarkTask, load_task, shipped_task

    cfg = MakeBenchmark.model_validate_json(args.cfg)
    task = shipped_task(cfg.task, cfg.benchmark)
    tokenizer = load_tokenizer(args.reference)
    training = (problem.prompt for path in args.training for problem in read_problems(path))
    found = benchmark_samples(task, cfg.role, cfg.prompts_per_half, tokenizer if cfg.chat else None, training)
    write_text(args.docs, documents_text(found.documents))
    # read back as later jobs will: what is not of its document, or too long, is refused here, not on a GPU
    read = BenchmarkTask(load_task(cfg.task, args.docs, cfg.benchmark), found.samples, cfg.benchmark, cfg.chat)
    positions = AutoConfig.from_pretrained(args.reference, local_files_only=True).max_position_embeddings
    BenchmarkEvaluator([read], tokenizer, 1, cfg.max_new_tokens, 1).check_context(positions)
    write_rows(args.samples, found.samples)
    write_json(args.counts, found.counts)
    print(f"{cfg.task}: {', '.join(f'{count} {what}' for what, count in found.counts.items())}")


if __name__ == "__main__":
    main()
