"""Draw figure 7: edits on unseen tasks, collateral damage in-domain, and dose curves (docs/method.md, section 8)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read one tidy table, write one page as PDF and PNG."""
    args = page_arguments(__doc__, "png", effects="effects of all edits and seeds (CSV)")

    from rlgen.figures import fig7_unseen as fig7
    from rlgen.figures import style

    settings, effects = read_page(args, fig7.Settings, effects=fig7.COLUMNS)
    style.save(fig7.draw(settings, effects), args.output, args.png)


if __name__ == "__main__":
    main()
