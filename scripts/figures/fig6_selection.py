"""Draw figure 6: edits on the selection tasks, against controls and rivals (docs/method.md, section 8)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read tidy tables, write the page as PDF, with its details behind it, and as PNG."""
    args = page_arguments(__doc__, "png", "effects", "comparisons", "controls")

    from rlgen.figures import fig6_selection as fig6
    from rlgen.figures import rivals, style

    settings, effects, comparisons, controls = read_page(args, fig6.Settings, **rivals.TABLES)
    pages = [draw(settings, effects, comparisons, controls) for draw in (fig6.draw, fig6.every)]
    style.save(pages[0], args.output, args.png, pages[1], fig6.appendix(settings, effects))


if __name__ == "__main__":
    main()
