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
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from functools import partial

    from rlgen.compute import start
    from rlgen.harvest import harvest_to, publish
    from rlgen.models import load_model
    from rlgen.settings.activations import Harvest
    from rlgen.stream import TokenStream

    cfg = Harvest.model_validate_json(args.cfg)
    device = start(cfg.threads)
    stream = TokenStream.load(args.stream)
    kept = [args.state / state for state in cfg.states] if args.state else args.outputs
    for state, model, folder in zip(cfg.states, args.models, kept, strict=True):
        harvest_to(folder, partial(load_model, model, device), state, stream, cfg.stream, keep=args.state is not None)
    for state, folder, output in zip(cfg.states, kept, args.outputs, strict=True):
        publish(folder, output, state, stream, cfg.stream)


if __name__ == "__main__":
    main()
