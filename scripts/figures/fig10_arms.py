"""Draw figure 10: other ways to post-train, and their distance from the reference (docs/method.md, section 13)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read two tidy tables, write the page as PDF, with a second one behind it, and as PNG."""
    args = page_arguments(__doc__, "png", "arms", "explained")

    from rlgen.figures import fig10_arms as fig10
    from rlgen.figures import style

    settings, arms, explained = read_page(args, fig10.Settings, arms=fig10.ARMS, explained=fig10.EXPLAINED)
    style.save(fig10.draw(settings, arms, explained), args.output, args.png, fig10.appendix(settings, arms, explained))


if __name__ == "__main__":
    main()
