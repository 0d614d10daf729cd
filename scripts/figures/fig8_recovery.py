"""Draw figure 8: recovery of the planted truth, and effects against steering by it (docs/method.md, section 8)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read two tidy tables, write one page as PDF and PNG."""
    args = page_arguments(__doc__, "png", "recovery", "effects")

    from rlgen.figures import fig8_recovery as fig8
    from rlgen.figures import style

    settings, recovery, effects = read_page(args, fig8.Settings, **fig8.TABLES)
    style.save(
        fig8.draw(settings, recovery, effects), args.output, args.png, fig8.appendix(settings, recovery, effects)
    )


if __name__ == "__main__":
    main()
