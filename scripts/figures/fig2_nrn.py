"""Draw figure 2: norm ratios of the latents of both pairs, with nulls and latent scaling (docs/method.md, 5)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read tidy tables, write one page as PDF and PNG."""
    args = page_arguments(__doc__, "png", "features")

    from rlgen.figures import fig2_nrn as fig2
    from rlgen.figures import style

    settings, features = read_page(args, fig2.Settings, features=fig2.COLUMNS)
    style.save(fig2.draw(settings, features), args.output, args.png, fig2.appendix(settings, features))


if __name__ == "__main__":
    main()
