"""Bring a model, or its checkpoints, from the hub or a folder into the study (docs/method.md, section 1)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: threads, layer, sources, size, tokens, date")
    parser.add_argument("--reference", type=Path, help="checkpoint folder of the reference model; not for itself")
    parser.add_argument("--output", required=True, type=Path, help="folder for checkpoint1/ ... and source.json")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.compute import start
    from rlgen.files import write_json
    from rlgen.sources.model_import import ImportModel, check_size, import_checkpoints

    cfg = ImportModel.model_validate_json(args.cfg)
    start(cfg.threads)
    facts = import_checkpoints(cfg.sources, args.output, args.reference, cfg.layer, cfg.tokens, cfg.date)
    check_size(facts[-1], cfg.size)
    write_json(args.output / "source.json", facts)


if __name__ == "__main__":
    main()
