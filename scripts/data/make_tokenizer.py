"""Write the word-level tokenizer over every word of the study's task families."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: families")
    parser.add_argument("--output", required=True, type=Path, help="folder for tokenizer.json, tokenizer_config.json")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.organism import families, tokenizer
    from rlgen.organism.tokenizer import MakeTokenizer

    cfg = MakeTokenizer.model_validate_json(args.cfg)
    words = families.vocabulary(cfg.families)
    tokenizer.save(tokenizer.build(words, families.BOS, families.EOS, families.PAD), args.output)


if __name__ == "__main__":
    main()
