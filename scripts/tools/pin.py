"""Write the commits of all models and data sets that a study takes from the hub into its YAML (`make pin`)."""

import argparse
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="YAML file of the study, changed in place; comments stay")
    parser.add_argument("--check", action="store_true", help="only say what has no commit; exit status 1 if anything")
    args = parser.parse_args()
    from rlgen.files import ArtifactError
    from rlgen.sources.pinning import pin

    try:
        lines = pin(args.study, args.check)
    except ArtifactError as error:
        sys.exit(str(error))
    print("\n".join(lines) or f"{args.study}: everything has its commit")
    sys.exit(1 if args.check and lines else 0)


if __name__ == "__main__":
    main()
