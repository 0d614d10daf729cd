"""Write the ledger's verdicts into the README, beside a copy in docs/claims.csv that a check compares it with."""

import argparse
import sys
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", nargs="*", type=Path, default=[], help="results/<study>/figures/claims.csv files")
    parser.add_argument("--copy", type=Path, default=Path("docs/claims.csv"), help="the committed copy of all of them")
    parser.add_argument("--readme", type=Path, default=Path("README.md"), help="text with the two markers")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where README and copy differ")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    from rlgen.files import read_csv, write_csv, write_text
    from rlgen.ledger.readme import merged, rewritten

    text, kept = args.readme.read_text(encoding="utf-8"), read_csv(args.copy)
    try:
        if args.check:
            if rewritten(text, kept) != text:
                print(f"{args.readme} does not say what {args.copy} says: run `make readme`", file=sys.stderr)
                return 1
            return 0
        write_csv(args.copy, merged(kept, [read_csv(path) for path in args.claims]))
        write_text(args.readme, rewritten(text, read_csv(args.copy)))
    except ValueError as error:
        print(f"{args.readme}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
