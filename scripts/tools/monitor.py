"""Read checkpoints of a run in progress with the set that a study watches, one line each (docs/method.md, 14)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path, help="folders for `from_pretrained`, of the same base")
    parser.add_argument("--configfile", type=Path, required=True, help="config of the study, with arms.watch")
    parser.add_argument("--seed", type=int, required=True, help="seed of the study whose dictionary and base are used")
    parser.add_argument("--model", help="name in the study, where the dictionary has this model as a member")
    parser.add_argument("--threads", type=int, default=1, help="of numeric work")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.arms.monitor import line
    from rlgen.compute import start
    from rlgen.files import ArtifactError
    from rlgen.models.checkpoints import load_model
    from rlgen.study.load import ConfigError, load
    from rlgen.study.watching import monitor_of

    device = start(args.threads)
    try:
        monitor = monitor_of(load(args.configfile), args.seed, args.model, device)
        for folder in args.checkpoints:
            print(f"{folder}: {line(monitor.read(load_model(folder, device)))}", flush=True)
    except (ConfigError, ArtifactError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
