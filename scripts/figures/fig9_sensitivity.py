"""Draw figure 9: variants of the main procedure, one factor at a time (docs/method.md, section 11)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read tidy tables, write the page as PDF, with its details behind it, and as PNG."""
    args = page_arguments(__doc__, "png", "sensitivity", "equivalence", "maps")

    from rlgen.figures import equivalence, mapped, style
    from rlgen.figures import fig9_sensitivity as fig9
    from rlgen.figures.variants import readable

    columns = {"sensitivity": fig9.COLUMNS, "equivalence": equivalence.COLUMNS, "maps": mapped.COLUMNS}
    settings, sensitivity, ablated, maps = read_page(args, fig9.Settings, **columns)
    more = (fig9.appendix(settings, sensitivity), equivalence.page_of(settings, ablated))
    more += (mapped.page_of(settings, maps, readable(sensitivity)),)
    style.save(fig9.draw(settings, sensitivity), args.output, args.png, *more)


if __name__ == "__main__":
    main()
