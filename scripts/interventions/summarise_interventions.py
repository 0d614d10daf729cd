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
    parser.add_argument("--output", required=True, type=Path, help="effects to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd

    from rlgen.files import read_parquet, write_csv
    from rlgen.interventions.tables import UNEDITED, SummariseInterventions, effects_table

    cfg = SummariseInterventions.model_validate_json(args.cfg)
    steering = {seed: read_parquet(path) for seed, path in zip(cfg.seeds, args.steering, strict=True)}
    unedited = {seed: table[table["edit"] == UNEDITED] for seed, table in steering.items()}
    jobs = [(tuned == cfg.target, seed) for tuned in cfg.tuned for seed in cfg.seeds]
    tables = [(True, seed, table) for seed, table in steering.items()]
    tables += [(same, seed, read_parquet(p)) for (same, seed), p in zip(jobs, args.interventions, strict=True)]
    effects = [
        effects_table(
            table,
            unedited[seed],
            reference=cfg.reference,
            target=cfg.target,
            same_goal=same_goal,
            seed=seed,
            draws=cfg.bootstrap,
        )
        for same_goal, seed, table in tables
    ]
    write_csv(args.output, pd.concat([table for table in effects if len(table)], ignore_index=True))


if __name__ == "__main__":
    main()
