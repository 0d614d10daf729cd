"""How the tuned-specific latents come and go over the checkpoints of each model (docs/method.md, section 6)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cfg", required=True, help="JSON: courses, joint, states, held_out_shards, top, random_draws, seed, threads"
    )
    parser.add_argument(
        "--courses", required=True, nargs="+", type=Path, help="dictionary folders, one per course, in order"
    )
    parser.add_argument(
        "--joint", nargs="*", type=Path, default=[], help="folder of the dictionary over the final models"
    )
    parser.add_argument("--shards", required=True, nargs="+", type=Path, help="shard folders, one per state, in order")
    parser.add_argument("--output", required=True, type=Path, help="CSV: kind, model, reading, a, b, value, lo, hi")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.compute import start
    from rlgen.features.dynamics import MeasureDynamics, Readings, dynamics_table
    from rlgen.files import write_csv

    cfg = MeasureDynamics.model_validate_json(args.cfg)
    device = start(cfg.threads)
    folders = dict(zip(cfg.states, args.shards, strict=True))
    joint = Readings.load(args.joint[0], device) if cfg.joint else None
    courses = {c.model: Readings.load(f, device) for c, f in zip(cfg.courses, args.courses, strict=True)}
    write_csv(args.output, dynamics_table(courses, joint, folders, cfg, device))


if __name__ == "__main__":
    main()
