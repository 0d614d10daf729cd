"""Edit models by sets of many sizes and scores, and by sets that tasks had no say in (docs/method.md, section 12)."""

import argparse
from pathlib import Path

from rlgen.interventions.command import editing_options


def arguments() -> argparse.Namespace:
    parser = editing_options(__doc__, "rlgen.extended.runs.VarySets")
    parser.add_argument("--scores", required=True, type=Path, help="scores of the procedure (Parquet)")
    parser.add_argument("--attribution", required=True, nargs="+", type=Path, help="scores by cause (Parquet)")
    parser.add_argument("--joint", type=Path, help="ranking of all tasks together (Parquet), where there is one")
    parser.add_argument("--output", required=True, type=Path, help="answers under every set (Parquet)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.compute import start
    from rlgen.dictionaries.crosscoder import Crosscoder
    from rlgen.extended.runs import VarySets, run_sets
    from rlgen.extended.sets import read_sets
    from rlgen.files import write_parquet
    from rlgen.interventions.subjects import OrganismBench
    from rlgen.tasks.samples import read_samples

    cfg = VarySets.model_validate_json(args.cfg)
    start(cfg.threads)
    bench = OrganismBench(cfg, dict(zip(cfg.models, args.models, strict=True)), read_samples(args.tasks))
    sets = read_sets(cfg, args.dictionary, args.scores, args.set, args.attribution, args.joint)
    write_parquet(args.output, run_sets(cfg, Crosscoder.load(args.dictionary, cfg.readout), sets, bench))


if __name__ == "__main__":
    main()
