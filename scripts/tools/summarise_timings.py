"""Print seconds and peak memory of every rule, from what the jobs of one or more studies noted of themselves."""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", nargs="?", default="results", type=Path, help="folder that holds studies (default: results)"
    )
    args = parser.parse_args()
    from rlgen.jobs.manifests import FOLDER
    from rlgen.planning.timings import summary

    studies = sorted(args.folder.glob(f"*/{FOLDER}"))
    for folder in studies:
        print(f"{folder.parent}\n{summary(folder).to_string(index=False)}\n")
    if not studies:
        print(f"{args.folder}: no job of any study has ended yet")


if __name__ == "__main__":
    main()
