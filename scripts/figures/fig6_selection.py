"""Draw figure 6: edits on the selection tasks, against controls and rivals (docs/method.md, section 8)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read one tidy table, write one page as PDF and PNG."""
    args = page_arguments(__doc__, "png", effects="effects of all edits and seeds (CSV)")

    from rlgen.figures import fig6_selection as fig6
    from rlgen.figures import style

    settings, effects = read_page(args, fig6.Settings, effects=fig6.COLUMNS)
    style.save(fig6.draw(settings, effects), args.output, args.png)


if __name__ == "__main__":
    main()
