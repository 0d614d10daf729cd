"""What the pages show of a dictionary's latents beyond its own tables (docs/method.md, section 5), on held-out rows."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cfg",
        required=True,
        help="JSON: members, permute_shift, held_out_shards, contexts, context_tokens, threads",
    )
    parser.add_argument("--dictionary", required=True, type=Path, help="dictionary folder")
    parser.add_argument("--shards", required=True, nargs="+", type=Path, help="shard folders, one per member, in order")
    parser.add_argument(
        "--models", required=True, nargs="+", type=Path, help="checkpoint folders, one per member, in order"
    )
    parser.add_argument("--stream", required=True, type=Path, help="token stream (safetensors)")
    parser.add_argument("--course", type=Path, help="folder of a dictionary over the last member's checkpoints")
    parser.add_argument("--passages", required=True, type=Path, help="Parquet, one row per latent and passage")
    parser.add_argument("--density", required=True, type=Path, help="Parquet, one row per latent that fires")
    parser.add_argument("--neighbours", required=True, type=Path, help="Parquet, one row per latent and neighbour")
    parser.add_argument("--lens", required=True, type=Path, help="Parquet, one row per latent, decoder row and token")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.activations.shards import Shards
    from rlgen.compute import start
    from rlgen.dictionaries.held_out import HeldOut
    from rlgen.files import write_parquet
    from rlgen.models.checkpoints import load_tokenizer
    from rlgen.models.tokens import reader
    from rlgen.site.firings import density, load_course, neighbours, with_course
    from rlgen.site.lens import lens
    from rlgen.site.passages import JOINT, InspectLatents, codes_of, passages

    cfg = InspectLatents.model_validate_json(args.cfg)
    device = start(cfg.threads)
    shards = Shards.open(args.shards, cfg.members, cfg.permute_shift)
    held_out = HeldOut.open(args.dictionary, shards, cfg.held_out_shards, args.stream, device)
    decode, joint = reader(load_tokenizer(args.models[0])), codes_of(held_out)[JOINT]
    write_parquet(args.passages, passages(held_out, decode, cfg.contexts, cfg.context_tokens))
    firing = density(joint)
    write_parquet(args.density, firing)
    rows_SMd, latents = held_out.crosscoder.decoder_raw_SMd, firing["latent"].tolist()
    near = neighbours(joint, held_out.crosscoder.W_dec_SMd)
    if args.course:
        near = with_course(near, rows_SMd[:, -1], latents, load_course(args.course, cfg.members[-1], device))
    write_parquet(args.neighbours, near)
    write_parquet(args.lens, lens(args.models, cfg.members, rows_SMd, latents, lambda token: decode([token])))


if __name__ == "__main__":
    main()
