"""Rank latents by what a small set of them does together, over all selection tasks (docs/method.md, section 7)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: see rlgen.features.causes.ChooseTogether")
    parser.add_argument("--dictionary", required=True, type=Path, help="folder with dictionary and features.parquet")
    parser.add_argument("--reference", required=True, type=Path, help="checkpoint folder of the reference")
    parser.add_argument("--tuned", required=True, type=Path, help="checkpoint folder of the tuned model")
    parser.add_argument("--reference-behaviour", required=True, type=Path, help="behaviour table of the reference")
    parser.add_argument("--tuned-behaviour", required=True, type=Path, help="behaviour table of the tuned model")
    parser.add_argument("--tasks", required=True, nargs="+", type=Path, help="evaluation samples (JSONL)")
    parser.add_argument("--output", required=True, type=Path, help="Parquet: one row per population and latent")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.compute import start
    from rlgen.features.causes import ChooseTogether, Subjects, joint_table
    from rlgen.files import write_parquet

    cfg = ChooseTogether.model_validate_json(args.cfg)
    subjects = Subjects(
        cfg,
        args.dictionary,
        (args.reference, args.tuned),
        (args.reference_behaviour, args.tuned_behaviour),
        args.tasks,
        start(cfg.threads),
    )
    write_parquet(args.output, joint_table(subjects))


if __name__ == "__main__":
    main()
