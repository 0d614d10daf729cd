"""Draw figure 12: sets of every size, by every score, from every choice of tasks (docs/method.md, section 12)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read three tidy tables, write the page as PDF, with its details behind it, and as PNG."""
    args = page_arguments(__doc__, "png", "curves", "areas", "rotation")

    from rlgen.figures import fig12_extended as fig12
    from rlgen.figures import style

    settings, *tables = read_page(args, fig12.Settings, curves=fig12.CURVES, areas=fig12.AREAS, rotation=fig12.ROTATION)
    style.save(fig12.draw(settings, *tables), args.output, args.png, fig12.appendix(settings, *tables))


if __name__ == "__main__":
    main()
