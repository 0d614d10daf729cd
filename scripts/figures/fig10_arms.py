"""Draw figure 10: other ways to post-train, and their distance from the reference (docs/method.md, section 13)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read three tidy tables, write the page as PDF, with a second one behind it, and as PNG."""
    args = page_arguments(__doc__, "png", "arms", "explained", "as_far")

    from rlgen.figures import fig10_arms as fig10
    from rlgen.figures import style

    columns = {"arms": fig10.ARMS, "explained": fig10.EXPLAINED, "as_far": fig10.AS_FAR}
    settings, arms, explained, as_far = read_page(args, fig10.Settings, **columns)
    second = fig10.appendix(settings, arms, explained, as_far)
    style.save(fig10.draw(settings, arms, explained), args.output, args.png, second)


if __name__ == "__main__":
    main()
