"""Draw figure 4: overlap of the tuned-specific features of all checkpoints (docs/method.md, section 6)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read one tidy table, write one page as PDF and PNG."""
    args = page_arguments(__doc__, "png", "dynamics")

    from rlgen.figures import fig4_dynamics as fig4
    from rlgen.figures import style

    settings, dynamics = read_page(args, fig4.Settings, dynamics=fig4.COLUMNS)
    style.save(fig4.draw(settings, dynamics), args.output, args.png, fig4.appendix(settings, dynamics))


if __name__ == "__main__":
    main()
