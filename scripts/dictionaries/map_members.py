"""Maps between the streams of a dictionary's members, for the readout `mapped` (docs/method.md, section 7)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: members, permute_shift, held_out_shards, threads")
    parser.add_argument("--shards", required=True, nargs="+", type=Path, help="shard folders, one per member, in order")
    parser.add_argument("--output", required=True, type=Path, help="maps between members (safetensors)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.shards import Shards
    from rlgen.compute import start
    from rlgen.dictionaries.held_out import batches
    from rlgen.dictionaries.member_maps import MapMembers, fit_maps

    cfg = MapMembers.model_validate_json(args.cfg)
    device = start(cfg.threads)
    shards = Shards.open(args.shards, cfg.members, cfg.permute_shift)
    fit_maps(batches(shards, shards.held_out(cfg.held_out_shards), device)).save(args.output, cfg.members)


if __name__ == "__main__":
    main()
