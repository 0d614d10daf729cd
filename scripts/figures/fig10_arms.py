"""Draw figure 10: other ways to post-train, and their distance from the reference (docs/method.md, section 13)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read four tidy tables, write the page as PDF, with a second one behind it, and as PNG."""
    args = page_arguments(__doc__, "png", "arms", "explained", "as_far", "effects")

    from rlgen.figures import fig10_arms as fig10
    from rlgen.figures import style, taken_out

    columns = {"arms": fig10.ARMS, "explained": fig10.EXPLAINED, "as_far": fig10.AS_FAR, "effects": taken_out.EFFECTS}
    settings, arms, explained, as_far, effects = read_page(args, fig10.Settings, **columns)
    more = (fig10.appendix(settings, arms, explained, as_far), taken_out.draw(settings, effects))
    style.save(fig10.draw(settings, arms, explained), args.output, args.png, *more)


if __name__ == "__main__":
    main()
