"""Measure the planted direction: the same texts under both headers, in the reference (testbed studies only)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: salt, seed, threads, data, layer")
    parser.add_argument("--model", required=True, type=Path, help="checkpoint folder of the reference")
    parser.add_argument("--output", required=True, type=Path, help="truth (safetensors)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.compute import start
    from rlgen.files import write_tensors
    from rlgen.models.checkpoints import load_model, load_tokenizer
    from rlgen.organism.truth import MeasureTruth, measure

    cfg = MeasureTruth.model_validate_json(args.cfg)
    device = start(cfg.threads)
    model, tokenizer = load_model(args.model, device), load_tokenizer(args.model)
    direction_d = measure(model, tokenizer, cfg.data, cfg.layer, cfg.salt, cfg.seed)
    write_tensors(args.output, {"direction": direction_d})


if __name__ == "__main__":
    main()
