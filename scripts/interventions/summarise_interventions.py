"""Summarise edits of all procedures and seeds: values, paired changes with intervals, flips."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: procedures, tuned, seeds, reference, target, bootstrap")
    parser.add_argument(
        "--interventions", nargs="*", default=[], type=Path, help="tables, procedure by procedure, seed by seed"
    )
    parser.add_argument("--steering", required=True, nargs="+", type=Path, help="tables of steering, one per seed")
    parser.add_argument("--controls", nargs="*", default=[], type=Path, help="facts of controls, in the same order")
    parser.add_argument("--effects", required=True, type=Path, help="effects to write (CSV)")
    parser.add_argument("--comparisons", required=True, type=Path, help="set against rivals, to write (CSV)")
    parser.add_argument("--all-controls", required=True, type=Path, help="facts of all controls, to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd

    from rlgen.files import read_csv, read_parquet, write_csv
    from rlgen.interventions.comparisons import comparisons
    from rlgen.interventions.tables import SummariseInterventions, effects_table
    from rlgen.tables import UNEDITED, stacked

    cfg = SummariseInterventions.model_validate_json(args.cfg)
    steering = {seed: read_parquet(path) for seed, path in zip(cfg.seeds, args.steering, strict=True)}
    unedited = {seed: table[table["edit"] == UNEDITED] for seed, table in steering.items()}
    named = {"reference": cfg.reference, "target": cfg.target, "draws": cfg.bootstrap}
    effects = [
        effects_table(table, unedited[seed], same_goal=True, seed=seed, **named) for seed, table in steering.items()
    ]
    jobs, compared = [(tuned, seed) for tuned in cfg.tuned for seed in cfg.seeds], []
    for (tuned, seed), path in zip(jobs, args.interventions, strict=True):
        table = read_parquet(path)
        effects.append(effects_table(table, unedited[seed], same_goal=tuned == cfg.target, seed=seed, **named))
        compared.append(comparisons(table, steering[seed], target=tuned, seed=seed, draws=cfg.bootstrap))
    facts = [read_csv(path) for path in args.controls]
    write_csv(args.effects, pd.concat([table for table in effects if len(table)], ignore_index=True))
    write_csv(args.comparisons, stacked(compared, [{}] * len(compared)) if compared else pd.DataFrame())
    write_csv(args.all_controls, stacked(facts, [{"seed": seed} for _, seed in jobs]) if facts else pd.DataFrame())


if __name__ == "__main__":
    main()
