"""Quality, latent statistics and contexts of one dictionary, on held-out rows (docs/method.md, sections 4 and 5)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cfg",
        required=True,
        help="JSON: members, permute_shift, held_out_shards, alive_firings, contexts, context_tokens, threads",
    )
    parser.add_argument("--dictionary", required=True, type=Path, help="dictionary folder")
    parser.add_argument("--shards", required=True, nargs="+", type=Path, help="shard folders, one per member, in order")
    parser.add_argument(
        "--models", required=True, nargs="+", type=Path, help="checkpoint folders, one per member, in order"
    )
    parser.add_argument("--stream", required=True, type=Path, help="token stream (safetensors)")
    parser.add_argument("--quality", required=True, type=Path, help="CSV, one row per member")
    parser.add_argument("--features", required=True, type=Path, help="Parquet, one row per latent")
    parser.add_argument("--contexts", required=True, type=Path, help="Parquet, one row per latent, member and rank")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.shards import Shards
    from rlgen.compute import start
    from rlgen.dictionaries.held_out import HeldOut
    from rlgen.dictionaries.quality import MeasureDictionary, quality
    from rlgen.features.contexts import contexts
    from rlgen.features.statistics import latent_table, sum_latents
    from rlgen.files import write_csv, write_parquet
    from rlgen.models.checkpoints import load_model, load_tokenizer
    from rlgen.models.tokens import reader

    cfg = MeasureDictionary.model_validate_json(args.cfg)
    device = start(cfg.threads)
    shards = Shards.open(args.shards, cfg.members, cfg.permute_shift)
    held_out = HeldOut.open(args.dictionary, shards, cfg.held_out_shards, args.stream, device)
    write_csv(args.quality, quality(held_out, [lambda f=f: load_model(f, device) for f in args.models]))
    sums = sum_latents(held_out.crosscoder, held_out.batches())
    write_parquet(args.features, latent_table(held_out.crosscoder, sums, cfg.alive_firings))
    decode = reader(load_tokenizer(args.models[0]))
    write_parquet(args.contexts, contexts(held_out, decode, cfg.contexts, cfg.context_tokens))


if __name__ == "__main__":
    main()
