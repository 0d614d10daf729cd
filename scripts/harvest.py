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
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.compute import start
    from rlgen.harvest import harvest_to
    from rlgen.models import load_model
    from rlgen.settings.activations import Harvest
    from rlgen.stream import TokenStream

    cfg = Harvest.model_validate_json(args.cfg)
    device = start(cfg.threads)
    stream = TokenStream.load(args.stream)
    for state, model, folder in zip(cfg.states, args.models, args.outputs, strict=True):
        harvest_to(folder, load_model(model, device), state, stream, cfg.stream)


if __name__ == "__main__":
    main()
