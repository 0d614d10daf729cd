"""Put the tables of all variants and seeds into one."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: variants, seeds, siblings")
    parser.add_argument(
        "--tables", required=True, nargs="+", type=Path, help="tables (CSV), variant by variant, seed by seed"
    )
    parser.add_argument("--siblings", nargs="*", default=[], type=Path, help="the same tables of sibling studies (CSV)")
    parser.add_argument("--output", required=True, type=Path, help="table of all of them to write (CSV)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.files import read_csv, write_csv
    from rlgen.sensitivity.siblings import beside
    from rlgen.tables import SummariseVariants, stacked

    cfg = SummariseVariants.model_validate_json(args.cfg)
    labels = [{"variant": variant, "seed": seed} for variant in cfg.variants for seed in cfg.seeds]
    table = stacked([read_csv(path) for path in args.tables], labels)
    for sibling, path in zip(cfg.siblings, args.siblings, strict=True):
        table = beside(table, read_csv(path), path, sibling.factor, sibling.name)
    write_csv(args.output, table)


if __name__ == "__main__":
    main()
