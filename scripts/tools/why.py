"""Say in words why each job of a target would run (docs/freshness.md)."""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="*", help="files or rules (default: all)")
    parser.add_argument("--configfile", type=Path, help="config of the study (default: config/config.yaml)")
    args = parser.parse_args()
    from rlgen.planning.plan import announcement
    from rlgen.planning.why import explain, planned

    dag = planned(args.target, args.configfile)
    print("\n\n".join(filter(None, [announcement(dag), explain(dag)])))


if __name__ == "__main__":
    main()
