"""Let the teacher write completions of one shard of the training problems, and judge their final answers."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seed, threads, shard, chat, teacher")
    parser.add_argument("--problems", required=True, type=Path, help="problems (JSONL: prompt, answer)")
    parser.add_argument("--teacher", required=True, type=Path, help="the teacher's checkpoint folder")
    parser.add_argument("--output", required=True, type=Path, help="trajectories to write (JSONL)")
    parser.add_argument("--state", type=Path, help="what a killed run continues from; nothing is kept without it")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.compute import start
    from rlgen.models.checkpoints import load_tokenizer
    from rlgen.tasks.problems import read_problems
    from rlgen.teacher.shards import WriteTrajectories, shard_prompts, write_shard
    from rlgen.teacher.writers import open_writer

    cfg = WriteTrajectories.model_validate_json(args.cfg)
    start(cfg.threads)
    problems = read_problems(args.problems)
    shard_prompts(problems, cfg, load_tokenizer(args.teacher))  # refuses what does not fit before a GPU is taken
    how = cfg.teacher
    writer = open_writer(how.backend, args.teacher, how.dtype, how.gpus, how.max_model_len)
    write_shard(args.output, writer, problems, cfg, args.state)


if __name__ == "__main__":
    main()
