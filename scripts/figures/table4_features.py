"""Write table 4: the features that the leading procedure's set begins with, and where they fire (docs/method.md, 5)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read tidy tables and one of contexts per seed, write them as CSV and LaTeX."""
    args = page_arguments(__doc__, "tex", "sets", "scores", "features", "contexts")

    from rlgen.figures import latex, top_features

    settings, *tables = read_page(args, top_features.Settings, **top_features.TABLES)
    contexts = top_features.read_contexts(args.contexts, settings.seeds)
    tidy, wide = top_features.table4(settings, *tables, contexts)
    latex.write(tidy, wide, args.output, args.tex, settings, settings.note, **top_features.FORM)


if __name__ == "__main__":
    main()
