"""Write one of a procedure's edits of a published reference as a file without a dictionary (docs/method.md, 14)."""

from rlgen.interventions.command import exporting_options


def main() -> None:
    args = exporting_options(__doc__, "rlgen.interventions.benchmarks.ExportEditBenchmarks", docs=True).parse_args()
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
