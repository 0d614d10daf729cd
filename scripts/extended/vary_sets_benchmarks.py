"""Edit published models by sets of many sizes and scores, and by sets that tasks had no say in (docs/method.md, 12)."""

import argparse
from pathlib import Path

from rlgen.interventions.command import editing_options


def arguments() -> argparse.Namespace:
    parser = editing_options(__doc__, "rlgen.extended.benchmarks.VarySetsBenchmarks", docs=True)
    parser.add_argument("--scores", required=True, type=Path, help="scores of the procedure (Parquet)")
    parser.add_argument("--attribution", required=True, nargs="+", type=Path, help="scores by cause (Parquet)")
    parser.add_argument("--joint", type=Path, help="ranking of all tasks together (Parquet), where there is one")
    parser.add_argument("--output", required=True, type=Path, help="answers under every set (Parquet)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.compute import start
    from rlgen.dictionaries.crosscoder import Crosscoder
    from rlgen.extended.benchmarks import VarySetsBenchmarks
    from rlgen.extended.runs import run_sets
    from rlgen.extended.sets import read_sets
    from rlgen.files import write_parquet
    from rlgen.interventions.benchmarks import BenchmarkBench
    from rlgen.tasks.samples import read_samples

    cfg = VarySetsBenchmarks.model_validate_json(args.cfg)
    device = start(cfg.threads)
    folders = dict(zip(cfg.models, args.models, strict=True))
    bench = BenchmarkBench(cfg, folders, read_samples(args.tasks), args.docs, device)
    sets = read_sets(cfg, args.dictionary, args.scores, args.set, args.attribution, args.joint)
    write_parquet(args.output, run_sets(cfg, Crosscoder.load(args.dictionary, cfg.readout), sets, bench))


if __name__ == "__main__":
    main()
