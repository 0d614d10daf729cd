"""Write a generated task as lm-eval reads it: a YAML file over the documents of the test half."""

import argparse
import json
import os
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: see rlgen.tasks.generated.ExportTask")
    parser.add_argument("--docs", required=True, type=Path, help="the task's documents, discovery half first (JSONL)")
    parser.add_argument("--counts", required=True, type=Path, help="documents of each half (JSON)")
    parser.add_argument("--output", required=True, type=Path, help="lm-eval task over the test half (YAML)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import yaml

    from rlgen.files import write_text
    from rlgen.tasks.generated import ExportTask, exported_config

    cfg = ExportTask.model_validate_json(args.cfg)
    discovery = json.loads(args.counts.read_text(encoding="utf-8"))["discovery"]
    docs = Path(os.path.relpath(args.docs)).as_posix()
    task = exported_config(cfg.task, cfg.benchmark, docs, discovery, cfg.max_new_tokens)
    write_text(args.output, yaml.safe_dump(task, sort_keys=False))


if __name__ == "__main__":
    main()
