"""Draw figure 7: edits on unseen tasks, and what they cost in-domain (docs/method.md, section 8)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read tidy tables, write the page as PDF, with its details behind it, and as PNG."""
    args = page_arguments(__doc__, "png", "effects", "comparisons", "controls")

    from rlgen.figures import fig7_unseen as fig7
    from rlgen.figures import rivals, style

    settings, effects, comparisons, controls = read_page(args, fig7.Settings, **rivals.TABLES)
    pages = [draw(settings, effects, comparisons, controls) for draw in (fig7.draw, fig7.every)]
    style.save(pages[0], args.output, args.png, pages[1], fig7.appendix(settings, effects))


if __name__ == "__main__":
    main()
