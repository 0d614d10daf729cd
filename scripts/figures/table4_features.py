"""Write table 4: the features that the leading procedure's set begins with, and where they fire (docs/method.md, 5)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read tidy tables and one of contexts per seed, write them as CSV, LaTeX and HTML."""
    args = page_arguments(__doc__, "tex", "sets", "scores", "features", "contexts")

    from rlgen.figures import forms, top_features

    settings, *tables = read_page(args, top_features.Settings, **top_features.TABLES)
    contexts = top_features.read_contexts(args.contexts, settings.seeds)
    tidy, wide = top_features.table4(settings, *tables, contexts)
    forms.write(tidy, wide, args, settings, settings.note, **top_features.FORM)


if __name__ == "__main__":
    main()
