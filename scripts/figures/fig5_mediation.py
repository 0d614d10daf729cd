"""Draw figure 5: scores per task, mediating sets, and their overlap against chance (docs/method.md, section 7)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read three tidy tables, write one page as PDF and PNG."""
    args = page_arguments(
        __doc__,
        "png",
        scores="scores of all procedures and seeds (Parquet)",
        overlap="overlaps of the tasks' lists (CSV)",
        sets="mediating sets (CSV)",
    )

    from rlgen.figures import fig5_mediation as fig5
    from rlgen.figures import style

    settings, scores, overlap, sets = read_page(
        args, fig5.Settings, scores=fig5.SCORE_COLUMNS, overlap=fig5.OVERLAP_COLUMNS, sets=fig5.SET_COLUMNS
    )
    style.save(
        fig5.draw(settings, scores, overlap, sets),
        args.output,
        args.png,
        fig5.appendix(settings, scores, overlap, sets),
    )


if __name__ == "__main__":
    main()
