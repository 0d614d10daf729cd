"""Train a sparse crosscoder on through one window of activations (docs/method.md, sections 3 and 4).

Several processes, one per GPU, train one dictionary together with `torchrun --nproc-per-node=N` before this script.
"""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cfg", required=True, help="JSON: recipe, members, permute_shift, window, windows, seed, threads"
    )
    parser.add_argument("--shards", required=True, nargs="+", type=Path, help="shard folders, one per member, in order")
    parser.add_argument("--before", type=Path, help="folder of the window before; the first window has none")
    parser.add_argument("--output", required=True, type=Path, help="folder for the state and curves.csv")
    parser.add_argument("--state", type=Path, help="what a killed run continues from; nothing is kept without it")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas as pd

    from rlgen.activations.shards import Shards
    from rlgen.dictionaries.ranks import leave
    from rlgen.dictionaries.training import Place, TrainWindow, train_window
    from rlgen.files import write_csv
    from rlgen.resume import Resume

    cfg = TrainWindow.model_validate_json(args.cfg)
    what = f"dictionary {' '.join(cfg.members)}, window {cfg.window} of {cfg.windows}"
    place = Place.join(cfg.threads, what, cfg.recipe.steps, args.state)
    shards = Shards.open(args.shards, cfg.members, cfg.permute_shift)
    before = Resume(args.before) if args.before else None
    training = train_window(shards, cfg.recipe, cfg.seed, cfg.window, cfg.windows, before, place)
    leave()
    if place.ranks.first:
        Resume(args.output).write(*training.state())
        write_csv(args.output / "curves.csv", pd.DataFrame(training.curves()))


if __name__ == "__main__":
    main()
