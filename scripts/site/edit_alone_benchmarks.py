"""Edit published models by each latent of a set alone, and keep what they write under the whole set's edit."""

import argparse
from pathlib import Path

from rlgen.interventions.command import editing_options


def arguments() -> argparse.Namespace:
    parser = editing_options(__doc__, "rlgen.interventions.benchmarks.InterveneBenchmarks", docs=True)
    parser.add_argument("--completions", required=True, type=Path, help="completions of the dictionary's tuned model")
    parser.add_argument("--interventions", required=True, type=Path, help="table of the set's own edits (Parquet)")
    parser.add_argument("--alone", required=True, type=Path, help="Parquet, one row per state, edit, latent and task")
    parser.add_argument("--texts", required=True, type=Path, help="Parquet, completions before and after an edit")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.completions import Completions
    from rlgen.compute import start
    from rlgen.dictionaries.crosscoder import Crosscoder
    from rlgen.files import write_parquet
    from rlgen.interventions.benchmarks import BenchmarkBench, InterveneBenchmarks
    from rlgen.interventions.runs import read_chosen
    from rlgen.site.alone import by_importance, chosen_doses, edit_alone
    from rlgen.tasks.samples import read_samples

    cfg = InterveneBenchmarks.model_validate_json(args.cfg)
    device = start(cfg.threads)
    folders = dict(zip(cfg.models, args.models, strict=True))
    alone, texts = edit_alone(
        cfg,
        Crosscoder.load(args.dictionary, cfg.readout),
        read_chosen(args.set, args.dictionary / "features.parquet"),
        by_importance(args.set),
        chosen_doses(args.interventions),
        Completions.load(args.completions),
        BenchmarkBench(cfg, folders, read_samples(args.tasks), args.docs, device),
    )
    write_parquet(args.alone, alone)
    write_parquet(args.texts, texts)


if __name__ == "__main__":
    main()
