"""Write the evaluation prompts of one task (JSONL) and the lm-eval task that reads them (YAML).

Run it in the folder from which lm_eval will be started: the YAML names the prompts relative to it.
"""

import argparse
import os
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: salt, task, role, split, evaluation")
    parser.add_argument("--samples", required=True, type=Path, help="evaluation samples of both halves (JSONL)")
    parser.add_argument("--task", required=True, type=Path, help="lm-eval task over the test half (YAML)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import yaml

    from rlgen.files import write_text
    from rlgen.organism.tasks import MakeTask, evaluation_samples, lm_eval_task
    from rlgen.tasks.samples import write_rows

    cfg = MakeTask.model_validate_json(args.cfg)
    samples = evaluation_samples(cfg.task, cfg.role, cfg.evaluation.prompts_per_half, cfg.salt, cfg.split)
    task = lm_eval_task(cfg.task, Path(os.path.relpath(args.samples)).as_posix(), cfg.evaluation)
    write_rows(args.samples, samples)
    write_text(args.task, yaml.safe_dump(task, sort_keys=False))


if __name__ == "__main__":
    main()
