"""Build the token stream on which every model's activations are read (docs/method.md, section 3)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: salt, seed, threads, data, tasks, max_new_tokens, stream")
    parser.add_argument("--tokenizer", required=True, type=Path, help="tokenizer folder")
    parser.add_argument(
        "--models",
        required=True,
        nargs="+",
        type=Path,
        help="checkpoints that write completions; the first filters norms",
    )
    parser.add_argument("--output", required=True, type=Path, help="stream.safetensors")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.compute import start
    from rlgen.models.checkpoints import load_model, load_tokenizer
    from rlgen.organism.stream import BuildStream, build

    cfg = BuildStream.model_validate_json(args.cfg)
    device = start(cfg.threads)
    models = [load_model(folder, device) for folder in args.models]
    stream = build(models, load_tokenizer(args.tokenizer), cfg)
    stream.save(args.output, {"rows": str(stream.rows)})
    print(f"{len(stream.lengths_N)} sequences, {stream.rows} rows")


if __name__ == "__main__":
    main()
