"""Draw figure 9: variants of the main procedure, one factor at a time (docs/method.md, section 11)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read one tidy table, write the page as PDF, with its details behind it, and as PNG."""
    args = page_arguments(__doc__, "png", "sensitivity")

    from rlgen.figures import fig9_sensitivity as fig9
    from rlgen.figures import style

    settings, sensitivity = read_page(args, fig9.Settings, sensitivity=fig9.COLUMNS)
    style.save(fig9.draw(settings, sensitivity), args.output, args.png, fig9.appendix(settings, sensitivity))


if __name__ == "__main__":
    main()
