"""Write one of a procedure's edits of the reference as a file that needs no dictionary (docs/method.md, 14)."""

from rlgen.interventions.command import exporting_options


def main() -> None:
    args = exporting_options(__doc__, "rlgen.interventions.subjects.ExportEdit").parse_args()
    from rlgen.activations.completions import Completions
    from rlgen.compute import start
    from rlgen.dictionaries.crosscoder import Crosscoder
    from rlgen.files import read_parquet
    from rlgen.interventions.exports import export_edit
    from rlgen.interventions.runs import read_chosen
    from rlgen.interventions.subjects import ExportEdit, OrganismBench
    from rlgen.tasks.samples import read_samples

    cfg = ExportEdit.model_validate_json(args.cfg)
    start(cfg.threads)
    edit = export_edit(
        cfg,
        Crosscoder.load(args.dictionary, cfg.readout),
        read_chosen(args.set, args.dictionary / "features.parquet"),
        Completions.load(args.completions),
        OrganismBench(cfg, dict(zip(cfg.models, args.models, strict=True)), read_samples(args.tasks)),
        read_parquet(args.edited),
    )
    edit.save(args.output)


if __name__ == "__main__":
    main()
