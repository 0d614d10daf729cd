"""Write LogiQA's published text (Test.txt) as documents that the task `logiqa` reads (docs/real-models.md)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, help="Test.txt from the authors' repository")
    parser.add_argument("output", type=Path, help="documents to write (JSONL)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import json

    from rlgen.files import write_text
    from rlgen.sources.logiqa import documents

    write_text(args.output, "".join(json.dumps(doc, ensure_ascii=False) + "\n" for doc in documents(args.text)))


if __name__ == "__main__":
    main()
