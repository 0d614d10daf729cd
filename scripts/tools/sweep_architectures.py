"""Try every causal language model class of transformers in small and write the table of docs/real-models.md."""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=Path("docs/real-models.md"), help="page that holds the table")
    args = parser.parse_args()
    from transformers.utils import logging

    from rlgen.files import write_text
    from rlgen.sources.architectures import kinds, sweep, with_table

    logging.set_verbosity_error()
    write_text(args.page, with_table(args.page.read_text(encoding="utf-8"), sweep(kinds())))


if __name__ == "__main__":
    main()
