"""Keep a study's results although packages have other versions now (docs/freshness.md)."""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", required=True, type=Path, help="folder of the study's results")
    args = parser.parse_args()
    from rlgen.jobs.packages import ACCEPTED, accept

    try:
        accepted = accept(Path.cwd(), args.results)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    for change in accepted:
        print(f"{change.environment}: {change.package} {change.locked} counts as {change.made_with}")
    print(f"Noted in {args.results / ACCEPTED}." if accepted else "Nothing to accept: all results fit the lock.")


if __name__ == "__main__":
    main()
