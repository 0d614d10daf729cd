"""Ablate latents that look shared in both models and compare what that does (docs/method.md, section 11)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: see rlgen.sensitivity.equivalence.MeasureEquivalence")
    parser.add_argument("--dictionary", required=True, type=Path, help="dictionary folder with features.parquet")
    parser.add_argument("--completions", required=True, type=Path, help="completions of the tuned model")
    parser.add_argument("--models", required=True, nargs=2, type=Path, help="checkpoints: reference, tuned")
    parser.add_argument("--tasks", required=True, nargs="+", type=Path, help="evaluation samples (JSONL)")
    parser.add_argument("--output", required=True, type=Path, help="table to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.completions import Completions
    from rlgen.compute import start
    from rlgen.dictionaries.crosscoder import Crosscoder
    from rlgen.files import read_parquet, write_csv
    from rlgen.interventions.subjects import OrganismBench
    from rlgen.sensitivity.equivalence import MeasureEquivalence, equivalence_table
    from rlgen.tasks.samples import read_samples

    cfg = MeasureEquivalence.model_validate_json(args.cfg)
    start(cfg.threads)
    bench = OrganismBench(cfg, dict(zip(cfg.models, args.models, strict=True)), read_samples(args.tasks))
    features = read_parquet(args.dictionary / "features.parquet")
    crosscoder, completions = Crosscoder.load(args.dictionary, cfg.readout), Completions.load(args.completions)
    write_csv(args.output, equivalence_table(cfg, crosscoder, features, completions, bench))


if __name__ == "__main__":
    main()
