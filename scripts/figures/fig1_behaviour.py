"""Draw figure 1: accuracy of the models by task role, their steps in the tasks' own format, learning again."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read a tidy table, write one page as PDF and PNG."""
    args = page_arguments(__doc__, "png", "accuracy")

    from rlgen.figures import fig1_behaviour as fig1
    from rlgen.figures import style

    settings, accuracy = read_page(args, fig1.Settings, accuracy=fig1.ACCURACY_COLUMNS)
    style.save(fig1.draw(settings, accuracy), args.output, args.png, fig1.appendix(settings, accuracy))


if __name__ == "__main__":
    main()
