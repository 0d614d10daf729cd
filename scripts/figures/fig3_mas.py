"""Draw figure 3: to which of three models the latents of one common dictionary belong (docs/method.md, section 5)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read tidy tables, write one page as PDF and PNG."""
    args = page_arguments(__doc__, "png", "features")

    from rlgen.figures import fig3_mas as fig3
    from rlgen.figures import style

    settings, features = read_page(args, fig3.Settings, features=fig3.COLUMNS)
    style.save(fig3.draw(settings, features), args.output, args.png, fig3.appendix(settings, features))


if __name__ == "__main__":
    main()
