"""Write one of a procedure's edits of a published reference as a file without a dictionary (docs/method.md, 14)."""

import argparse
from pathlib import Path

from rlgen.interventions.command import editing_options


def arguments() -> argparse.Namespace:
    parser = editing_options(__doc__, "rlgen.interventions.benchmarks.ExportEditBenchmarks", docs=True)
    parser.add_argument("--completions", required=True, type=Path, help="completions of the dictionary's tuned model")
    parser.add_argument("--edited", required=True, type=Path, help="the procedure's table of interventions (Parquet)")
    parser.add_argument("--output", required=True, type=Path, help="edit to write (safetensors)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.completions import Completions
    from rlgen.compute import start
    from rlgen.dictionaries.crosscoder import Crosscoder
    from rlgen.files import read_parquet
    from rlgen.interventions.benchmarks import BenchmarkBench, ExportEditBenchmarks
    from rlgen.interventions.exports import export_edit
    from rlgen.interventions.runs import read_chosen
    from rlgen.tasks.samples import read_samples

    cfg = ExportEditBenchmarks.model_validate_json(args.cfg)
    device = start(cfg.threads)
    folders = dict(zip(cfg.models, args.models, strict=True))
    edit = export_edit(
        cfg,
        Crosscoder.load(args.dictionary, cfg.readout),
        read_chosen(args.set, args.dictionary / "features.parquet"),
        Completions.load(args.completions),
        BenchmarkBench(cfg, folders, read_samples(args.tasks), args.docs, device),
        read_parquet(args.edited),
    )
    edit.save(args.output)


if __name__ == "__main__":
    main()
