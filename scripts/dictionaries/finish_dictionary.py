"""Make the dictionary of the state after its last window (docs/method.md, section 4)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: recipe, members, permute_shift, seed, threads")
    parser.add_argument("--last", required=True, type=Path, help="folder of the last window")
    parser.add_argument("--held-out", required=True, nargs="+", type=Path, help="held-out shard folders, in order")
    parser.add_argument("--output", required=True, type=Path, help="folder for weights, cfg.json and curves.csv")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd

    from rlgen.activations.shards import Shards
    from rlgen.compute import start
    from rlgen.dictionaries.training import FinishDictionary, finish
    from rlgen.files import write_csv
    from rlgen.resume import Resume

    cfg = FinishDictionary.model_validate_json(args.cfg)
    start(cfg.threads)
    shards = Shards.open(args.held_out, cfg.members, cfg.permute_shift)  # layer and width as the study's own say
    crosscoder, curves, step = finish(cfg.recipe, cfg.members, cfg.seed, Resume(args.last))
    write_csv(args.output / "curves.csv", pd.DataFrame(curves))
    provenance = {"layer": shards.layer, "stream": shards.stream, "permute_shift": cfg.permute_shift, "step": step}
    crosscoder.save(args.output, provenance | {"recipe": cfg.recipe.model_dump(), "seed": cfg.seed})


if __name__ == "__main__":
    main()
