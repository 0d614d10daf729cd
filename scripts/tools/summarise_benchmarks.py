"""Print seconds and peak memory of every rule, from the benchmark tables of one or more studies."""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", nargs="?", default="results", type=Path, help="folder that holds studies (default: results)"
    )
    args = parser.parse_args()
    from rlgen.planning.timings import summary

    for folder in sorted(args.folder.glob("*/benchmarks")):
        print(f"{folder.parent}\n{summary(folder).to_string(index=False)}\n")


if __name__ == "__main__":
    main()
