"""Compare every procedure's set with the planted direction (testbed studies only; docs/method.md, figure 8)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: see rlgen.settings.interventions.MeasureRecovery")
    parser.add_argument("--truth", required=True, type=Path, help="planted direction (safetensors)")
    per_procedure = {"required": True, "nargs": "+", "type": Path}
    parser.add_argument("--dictionaries", **per_procedure, help="dictionary folders, one per procedure")
    parser.add_argument("--sets", **per_procedure, help="set.json files, one per procedure")
    parser.add_argument("--completions", **per_procedure, help="completions files, one per procedure")
    parser.add_argument("--output", required=True, type=Path, help="recovery table (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.completions import Completions
    from rlgen.compute import start
    from rlgen.files import read_tensors, write_csv
    from rlgen.interventions.mean_change import Found
    from rlgen.organism.recovery import MeasureRecovery, recovery_table

    cfg = MeasureRecovery.model_validate_json(args.cfg)
    start(cfg.threads)
    truth_d = read_tensors(args.truth)[0]["direction"].double().numpy()
    sets = {}
    columns = (cfg.procedures, args.dictionaries, args.sets, args.completions, cfg.readouts)
    for name, dictionary, set_file, completions, readout in zip(*columns, strict=True):
        sets[name] = (Found.load(dictionary, set_file, readout), Completions.load(completions))
    write_csv(args.output, recovery_table(truth_d, sets, cfg.seed))


if __name__ == "__main__":
    main()
