"""Read the residual stream of a model's checkpoints on the token stream into shards (docs/method.md, section 3)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="JSON: threads, states, stream")
    parser.add_argument("--stream", required=True, type=Path, help="stream.safetensors")
    parser.add_argument(
        "--models", required=True, nargs="+", type=Path, help="checkpoint folders, in the order of states"
    )
    parser.add_argument("--outputs", required=True, nargs="+", type=Path, help="shard folders, in the order of states")
    parser.add_argument("--state", type=Path, help="what a killed run continues from; nothing is kept without it")
    parser.add_argument("--disk-gb", type=float, help="largest size of all shards on the disk together, 1e9 bytes")
    parser.add_argument("--shards-on-disk", type=int, default=0, help="how many shards lie there together at most")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from functools import partial

    import torch

    from rlgen.activations.disk import check_room, hidden_size
    from rlgen.activations.harvest import Harvest, harvest_kept, harvest_to, publish
    from rlgen.activations.stream import TokenStream
    from rlgen.compute import start
    from rlgen.models.checkpoints import load_model

    cfg = Harvest.model_validate_json(args.cfg)
    device = start(cfg.threads)
    stream = TokenStream.load(args.stream)
    kept = [args.state / state for state in cfg.states] if args.state else []
    check_room(args.outputs, cfg.stream, hidden_size(args.models[0]), args.shards_on_disk, args.disk_gb, kept)
    jobs = list(zip(cfg.states, args.models, args.outputs, strict=True))
    for state, model, output in jobs:
        load = partial(load_model, model, device, getattr(torch, cfg.stream.precision))
        if args.state is None:
            harvest_to(output, load(), state, stream, cfg.stream)
        else:
            harvest_kept(args.state / state, load, state, stream, cfg.stream)
    for state, _, output in jobs if args.state else ():  # only now, because outputs of a killed job are deleted
        publish(args.state / state, output, state, stream, cfg.stream)


if __name__ == "__main__":
    main()
