"""Judge the study's claims from its tables: verdicts as CSV and LaTeX, and a page that one reads in a minute."""

import argparse
from pathlib import Path

from rlgen.figures.command import TABLES

JUDGED_FROM = (
    "accuracy", "features", "dynamics", "sets", "overlap", "effects", "comparisons", "controls", "recovery",
    "sensitivity", "explained", "foretold",
)  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="claims of the study (JSON): see rlgen.figures.claims.Settings")
    for name in JUDGED_FROM:
        parser.add_argument(f"--{name}", type=Path, nargs="*", help=TABLES[name])
    parser.add_argument("--output", type=Path, required=True, help="verdicts to write (.csv)")
    parser.add_argument("--tex", type=Path, required=True, help="the same as LaTeX (.tex)")
    parser.add_argument("--pdf", type=Path, required=True, help="vector page to write (.pdf)")
    parser.add_argument("--png", type=Path, required=True, help="the same page as an image (.png)")
    parser.add_argument("--html", type=Path, required=True, help="verdicts in words, for the first page of a report")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.figures import claims, page, style
    from rlgen.files import write_csv, write_text
    from rlgen.ledger.evidence import COLUMNS, Setting
    from rlgen.ledger.findings import as_html
    from rlgen.ledger.verdicts import judge

    cfg = claims.Settings.model_validate_json(args.cfg)
    tables = {name: page.read_all(vars(args)[name], COLUMNS[name]) for name in JUDGED_FROM if vars(args)[name]}
    ledger = judge(cfg.study, cfg.claims, tables, Setting(cfg.roles.reference, cfg.roles.target, cfg.top), cfg.seeds)
    write_csv(args.output, ledger)
    write_text(args.tex, claims.as_latex(cfg, ledger))
    write_text(args.html, as_html(cfg.study, ledger))
    style.save(claims.draw(cfg, ledger), args.pdf, args.png)


if __name__ == "__main__":
    main()
