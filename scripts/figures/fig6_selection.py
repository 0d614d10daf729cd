"""Draw figure 6: edits on the selection tasks, against controls and rivals (docs/method.md, section 8)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read tidy tables, write the page as PDF, with its details behind it, and as PNG."""
    args = page_arguments(__doc__, "png", "effects", "comparisons", "controls")

    from rlgen.figures import fig6_selection as fig6
    from rlgen.figures import rivals, style

    settings, effects, comparisons, controls = read_page(args, fig6.Settings, **rivals.TABLES)
    page = fig6.draw(settings, effects, comparisons, controls)
    style.save(page, args.output, args.png, fig6.appendix(settings, effects))


if __name__ == "__main__":
    main()
