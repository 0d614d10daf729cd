"""Write config/schema.json and config/README.md from the settings models."""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("config"), help="folder to write to (default: config)")
    args = parser.parse_args()
    from rlgen.files import write_text
    from rlgen.study import docs

    write_text(args.folder / "schema.json", docs.schema())
    write_text(args.folder / "README.md", docs.page())


if __name__ == "__main__":
    main()
