"""Train one sparse crosscoder over the activations of several model states (docs/method.md, section 4).

Several processes, one per GPU, train one dictionary together with `torchrun --nproc-per-node=N` before this script.
"""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cfg", required=True, help="JSON: recipe, members, permute_shift, held_out_shards, seed, threads"
    )
    parser.add_argument("--shards", required=True, nargs="+", type=Path, help="shard folders, one per member, in order")
    parser.add_argument("--output", required=True, type=Path, help="folder for weights, cfg.json and curves.csv")
    parser.add_argument("--state", type=Path, help="what a killed run continues from; nothing is kept without it")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd

    from rlgen.activations.shards import Shards
    from rlgen.dictionaries.ranks import leave
    from rlgen.dictionaries.step import step_made_by
    from rlgen.dictionaries.training import Place, TrainDictionary, train
    from rlgen.files import write_csv

    cfg = TrainDictionary.model_validate_json(args.cfg)
    place = Place.join(cfg.threads, f"dictionary {' '.join(cfg.members)}", cfg.recipe.steps, args.state)
    shards = Shards.open(args.shards, cfg.members, cfg.permute_shift)
    crosscoder, curves = train(shards, cfg.recipe, cfg.seed, cfg.held_out_shards, place)
    leave()
    if place.ranks.first:
        write_csv(args.output / "curves.csv", pd.DataFrame(curves))
        provenance = {"layer": shards.layer, "stream": shards.stream, "permute_shift": cfg.permute_shift}
        provenance |= {"step": step_made_by(place.device, place.ranks, cfg.recipe)}
        crosscoder.save(args.output, provenance | {"recipe": cfg.recipe.model_dump(), "seed": cfg.seed})


if __name__ == "__main__":
    main()
