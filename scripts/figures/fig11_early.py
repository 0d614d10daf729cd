"""Draw figure 11: what a set's reading foretells, and models that aim at it (docs/method.md, section 14)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read two tidy tables, write the page as PDF, with a second one behind it, and as PNG."""
    args = page_arguments(__doc__, "png", "foretold", "accuracy")

    from rlgen.figures import fig11_early as fig11
    from rlgen.figures import style

    columns = {"foretold": fig11.FORETOLD, "accuracy": fig11.ACCURACY}
    settings, *tables = read_page(args, fig11.Settings, **columns)
    style.save(fig11.draw(settings, *tables), args.output, args.png, fig11.appendix(settings, *tables))


if __name__ == "__main__":
    main()
