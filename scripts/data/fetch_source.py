"""Fetch one source of published data, from the hub or from files, as rows of the study (docs/method.md, section 1)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: name, source")
    parser.add_argument("--output", required=True, type=Path, help="rows (JSONL)")
    parser.add_argument("--facts", required=True, type=Path, help="what they were made of, and their SHA-256 (JSON)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.files import write_json
    from rlgen.sources.fetch import FetchSource, fetch

    cfg = FetchSource.model_validate_json(args.cfg)
    write_json(args.facts, fetch(cfg.source, args.output, cfg.name))


if __name__ == "__main__":
    main()
