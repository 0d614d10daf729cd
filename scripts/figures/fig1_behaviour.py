"""Draw figure 1: accuracy by task role, during training, and the training curves (docs/method.md, section 2)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read two tidy tables, write one page as PDF and PNG."""
    args = page_arguments(
        __doc__,
        "png",
        accuracy="accuracy.csv of all models, checkpoints and seeds",
        curves="training curves of all models and seeds (CSV)",
    )

    from rlgen.figures import fig1_behaviour as fig1
    from rlgen.figures import style

    settings, accuracy, curves = read_page(
        args, fig1.Settings, accuracy=fig1.ACCURACY_COLUMNS, curves=fig1.CURVE_COLUMNS
    )
    style.save(fig1.draw(settings, accuracy, curves), args.output, args.png)


if __name__ == "__main__":
    main()
