"""Compare a variant with the main procedure: sets, directions, effects of one seed (docs/method.md, section 11)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: see rlgen.sensitivity.table.MeasureSensitivity")
    parser.add_argument("--dictionary", required=True, type=Path, help="the variant's dictionary folder")
    parser.add_argument("--main-dictionary", required=True, type=Path, help="the main procedure's dictionary folder")
    parser.add_argument("--set", required=True, type=Path, help="the variant's set.json")
    parser.add_argument("--main-set", required=True, type=Path, help="the main procedure's set.json")
    parser.add_argument("--edited", required=True, type=Path, help="the variant's interventions table (Parquet)")
    parser.add_argument("--main-edited", required=True, type=Path, help="the main procedure's interventions table")
    parser.add_argument("--controls", required=True, type=Path, help="facts of the variant's controls (CSV)")
    parser.add_argument(
        "--main-controls", required=True, type=Path, help="facts of the main procedure's controls (CSV)"
    )
    parser.add_argument("--quality", required=True, type=Path, help="quality of the variant's dictionary (CSV)")
    parser.add_argument("--completions", required=True, type=Path, help="completions of the tuned model")
    parser.add_argument("--steering", required=True, type=Path, help="answers of unedited models (Parquet)")
    parser.add_argument("--output", required=True, type=Path, help="table to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.completions import Completions
    from rlgen.compute import start
    from rlgen.files import read_csv, read_parquet, write_csv
    from rlgen.interventions.mean_change import Found
    from rlgen.sensitivity.effects import Edited
    from rlgen.sensitivity.table import MeasureSensitivity, sensitivity_table

    cfg = MeasureSensitivity.model_validate_json(args.cfg)
    start(cfg.threads)
    files = ((args.dictionary, args.set), (args.main_dictionary, args.main_set))
    found = tuple(Found.load(*some, readout) for some, readout in zip(files, cfg.readouts, strict=True))
    runs = ((args.edited, args.controls), (args.main_edited, args.main_controls))
    edited = tuple(Edited(read_parquet(rows), read_csv(controls)) for rows, controls in runs)
    tables = read_parquet(args.steering), read_csv(args.quality)
    write_csv(args.output, sensitivity_table(cfg, found, edited, Completions.load(args.completions), *tables))


if __name__ == "__main__":
    main()
