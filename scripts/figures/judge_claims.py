"""Judge the study's claims from its tables: verdicts as CSV and LaTeX, and a page that one reads in a minute."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="claims of the study (JSON): see rlgen.figures.claims.Settings")
    parser.add_argument("--accuracy", type=Path, help="accuracies of all models (CSV)")
    parser.add_argument("--features", nargs="*", type=Path, help="statistics of latents, one per dictionary (Parquet)")
    parser.add_argument("--dynamics", type=Path, help="overlaps over training (CSV)")
    parser.add_argument("--sets", type=Path, help="mediating sets of all procedures (CSV)")
    parser.add_argument("--overlap", type=Path, help="overlaps of tasks' lists (CSV)")
    parser.add_argument("--effects", type=Path, help="effects of all edits")
    parser.add_argument("--comparisons", type=Path, help="the set minus each rival, paired")
    parser.add_argument("--controls", type=Path, help="random sets drawn and readouts refused (CSV)")
    parser.add_argument("--recovery", type=Path, help="sets against the planted direction (CSV)")
    parser.add_argument("--sensitivity", nargs="*", type=Path, help="variants of the main procedure (CSV)")
    parser.add_argument("--output", type=Path, required=True, help="verdicts to write (.csv)")
    parser.add_argument("--tex", type=Path, required=True, help="the same as LaTeX (.tex)")
    parser.add_argument("--pdf", type=Path, required=True, help="vector page to write (.pdf)")
    parser.add_argument("--png", type=Path, required=True, help="the same page as an image (.png)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.figures import claims, page, style
    from rlgen.files import write_csv, write_text
    from rlgen.ledger.evidence import COLUMNS, Setting
    from rlgen.ledger.verdicts import judge

    cfg = claims.Settings.model_validate_json(args.cfg)
    given = {name: vars(args)[name] for name in COLUMNS if vars(args)[name]}
    paths = {name: path if isinstance(path, list) else [path] for name, path in given.items()}
    tables = {name: page.read_all(path, COLUMNS[name]) for name, path in paths.items()}
    ledger = judge(cfg.study, cfg.claims, tables, Setting(cfg.roles.reference, cfg.roles.target, cfg.top), cfg.seeds)
    write_csv(args.output, ledger)
    write_text(args.tex, claims.latex(cfg, ledger))
    style.save(claims.draw(cfg, ledger), args.pdf, args.png)


if __name__ == "__main__":
    main()
