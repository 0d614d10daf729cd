"""Build one part of the token stream over a study's sources (docs/method.md, section 3)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: seed, threads, part, stream")
    parser.add_argument("--sources", required=True, nargs="+", type=Path, help="texts (JSONL), named like the sources")
    parser.add_argument("--reference", required=True, type=Path, help="checkpoint with the tokenizer; filters norms")
    parser.add_argument("--output", required=True, type=Path, help="stream.safetensors")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.compute import start
    from rlgen.models.checkpoints import load_model, load_tokenizer
    from rlgen.sources.stream import BuildMixedStream, build

    cfg = BuildMixedStream.model_validate_json(args.cfg)
    device = start(cfg.threads)
    files = {path.stem: path for path in args.sources}
    stream = build(files, load_tokenizer(args.reference), load_model(args.reference, device), cfg)
    stream.save(args.output, {"rows": str(stream.rows)})
    print(f"{len(stream.lengths_N)} sequences, {stream.rows} rows")


if __name__ == "__main__":
    main()
