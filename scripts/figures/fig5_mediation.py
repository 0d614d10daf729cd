"""Draw figure 5: scores per task, mediating sets, and their overlap against chance (docs/method.md, section 7)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read three tidy tables, write one page as PDF and PNG."""
    args = page_arguments(__doc__, "png", "scores", "overlap", "sets")

    from rlgen.figures import fig5_mediation as fig5
    from rlgen.figures import style

    settings, scores, overlap, sets = read_page(args, fig5.Settings, **fig5.TABLES)
    style.save(
        fig5.draw(settings, scores, overlap, sets),
        args.output,
        args.png,
        fig5.appendix(settings, scores, overlap, sets),
    )


if __name__ == "__main__":
    main()
