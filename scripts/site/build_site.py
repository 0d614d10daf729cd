"""Pages of every latent, every set and every procedure of one study, to be opened from disk (docs/site.md)."""

import argparse
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", required=True, help="settings of the site (JSON), as rlgen.study.pages makes them")
    parser.add_argument("--dictionaries", required=True, nargs="*", type=Path, help="folders of dictionaries, in order")
    parser.add_argument("--scores", required=True, nargs="*", type=Path, help="scores of all procedures (Parquet)")
    parser.add_argument("--sets", required=True, nargs="*", type=Path, help="mediating sets (CSV)")
    parser.add_argument(
        "--joint", required=True, nargs="*", type=Path, help="rankings over all tasks (Parquet), in order"
    )
    parser.add_argument("--effects", required=True, nargs="*", type=Path, help="effects of edits (CSV)")
    parser.add_argument("--comparisons", required=True, nargs="*", type=Path, help="sets against their rivals (CSV)")
    parser.add_argument("--alone", required=True, nargs="*", type=Path, help="edits by one latent (Parquet), in order")
    parser.add_argument("--texts", required=True, nargs="*", type=Path, help="completions of edits (Parquet), in order")
    parser.add_argument("--claims", required=True, nargs="*", type=Path, help="verdicts on claims (CSV)")
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    from rlgen.site.build import Sources, build
    from rlgen.site.evidence import Files
    from rlgen.site.settings import BuildSite

    def only(paths: list[Path]) -> Path | None:
        return paths[0] if paths else None

    sources = Sources(
        args.dictionaries,
        Files(only(args.scores), only(args.sets), args.joint, args.alone, args.texts),
        only(args.effects),
        only(args.comparisons),
        only(args.claims),
    )
    build(BuildSite.model_validate_json(args.cfg), sources, args.output)


if __name__ == "__main__":
    main()
