"""Which latents carry what a tuned model does right and its reference wrong (docs/method.md, section 7)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cfg",
        required=True,
        help="JSON: score, cut, cut_share, cut_count, readout, critical, tasks, random_draws, seed, threads",
    )
    parser.add_argument("--dictionary", required=True, type=Path, help="folder with dictionary and features.parquet")
    parser.add_argument("--completions", required=True, type=Path, help="activations on completions (safetensors)")
    parser.add_argument("--attribution", type=Path, help="scores by cause (Parquet), where the procedure needs them")
    parser.add_argument("--joint", type=Path, help="ranking of all tasks together (Parquet), where it needs one")
    parser.add_argument(
        "--scores", required=True, type=Path, help="Parquet, one row per population, task, score and latent"
    )
    parser.add_argument("--set", required=True, type=Path, help="JSON: the mediating set and what it carries")
    parser.add_argument("--overlap", required=True, type=Path, help="CSV: overlap of the tasks' lists beside chance")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.completions import Completions
    from rlgen.compute import start
    from rlgen.dictionaries.held_out import load_crosscoder
    from rlgen.features.selection import ScoreFeatures, gather_evidence, mediating_set, overlap_table, score_table
    from rlgen.files import read_parquet, write_csv, write_json, write_parquet

    cfg = ScoreFeatures.model_validate_json(args.cfg)
    device = start(cfg.threads)
    crosscoder = load_crosscoder(args.dictionary, device, cfg.readout)
    features = read_parquet(args.dictionary / "features.parquet")
    alive = features["alive"].to_numpy()
    by_cause = [read_parquet(path) if path else None for path in (args.attribution, args.joint)]
    evidence = gather_evidence(crosscoder, Completions.load(args.completions), alive, cfg, *by_cause)
    write_parquet(args.scores, score_table(evidence, alive, cfg))
    write_json(args.set, mediating_set(evidence, alive, cfg))
    write_csv(args.overlap, overlap_table(evidence, features, crosscoder.free_S.cpu().numpy(), cfg))


if __name__ == "__main__":
    main()
