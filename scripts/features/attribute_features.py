"""How much of the distance between two models each latent's exchange removes (docs/method.md, section 7)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: see rlgen.features.causes.AttributeFeatures")
    parser.add_argument("--dictionary", required=True, type=Path, help="folder with dictionary and features.parquet")
    parser.add_argument("--reference", required=True, type=Path, help="checkpoint folder of the reference")
    parser.add_argument("--tuned", required=True, type=Path, help="checkpoint folder of the tuned model")
    parser.add_argument("--reference-behaviour", required=True, type=Path, help="behaviour table of the reference")
    parser.add_argument("--tuned-behaviour", required=True, type=Path, help="behaviour table of the tuned model")
    parser.add_argument("--tasks", required=True, nargs="+", type=Path, help="evaluation samples (JSONL)")
    parser.add_argument("--scores", required=True, type=Path, help="Parquet: one row per population, task and latent")
    parser.add_argument(
        "--paths", required=True, type=Path, help="CSV: dose and distances of every population and task"
    )
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.compute import start
    from rlgen.features.causes import AttributeFeatures, Subjects, attribution_tables
    from rlgen.files import write_csv, write_parquet

    cfg = AttributeFeatures.model_validate_json(args.cfg)
    subjects = Subjects(
        cfg,
        args.dictionary,
        (args.reference, args.tuned),
        (args.reference_behaviour, args.tuned_behaviour),
        args.tasks,
        start(cfg.threads),
    )
    scores, paths = attribution_tables(subjects)
    write_parquet(args.scores, scores)
    write_csv(args.paths, paths)


if __name__ == "__main__":
    main()
