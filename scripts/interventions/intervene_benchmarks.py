"""Edit published models on benchmarks by one procedure, with controls and rivals (docs/method.md, section 8)."""

import argparse
from pathlib import Path

from rlgen.interventions.command import editing_options


def arguments() -> argparse.Namespace:
    parser = editing_options(__doc__, "rlgen.interventions.benchmarks.InterveneBenchmarks", docs=True)
    parser.add_argument("--completions", required=True, type=Path, help="completions of the dictionary's tuned model")
    parser.add_argument("--output", required=True, type=Path, help="interventions table (Parquet)")
    parser.add_argument("--controls", required=True, type=Path, help="facts of every edit's controls (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.completions import Completions
    from rlgen.compute import start
    from rlgen.dictionaries.crosscoder import Crosscoder
    from rlgen.files import write_csv, write_parquet
    from rlgen.interventions.benchmarks import BenchmarkBench, InterveneBenchmarks
    from rlgen.interventions.runs import read_chosen, run_procedure
    from rlgen.tasks.samples import read_samples

    cfg = InterveneBenchmarks.model_validate_json(args.cfg)
    device = start(cfg.threads)
    folders = dict(zip(cfg.models, args.models, strict=True))
    table, facts = run_procedure(
        cfg,
        Crosscoder.load(args.dictionary, cfg.readout),
        read_chosen(args.set, args.dictionary / "features.parquet"),
        Completions.load(args.completions),
        BenchmarkBench(cfg, folders, read_samples(args.tasks), args.docs, device),
    )
    write_parquet(args.output, table)
    write_csv(args.controls, facts)


if __name__ == "__main__":
    main()
