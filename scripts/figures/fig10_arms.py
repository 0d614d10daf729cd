"""Draw figure 10: other ways to post-train, and their distance from the reference (docs/method.md, section 13)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read six tidy tables, write the page as PDF, with three more behind it, and as PNG."""
    args = page_arguments(__doc__, "png", "arms", "explained", "as_far", "effects", "shared", "features")

    from rlgen.figures import fig10_arms as fig10
    from rlgen.figures import shared_change, style, taken_out

    columns = {"arms": fig10.ARMS, "explained": fig10.EXPLAINED, "as_far": fig10.AS_FAR, "effects": taken_out.EFFECTS}
    columns |= {"shared": shared_change.SHARED, "features": shared_change.FEATURES}
    settings, arms, explained, as_far, effects, shared, features = read_page(args, fig10.Settings, **columns)
    more = (
        fig10.appendix(settings, arms, explained, as_far),
        taken_out.draw(settings, effects),
        shared_change.draw(settings, arms, shared, features),
    )
    style.save(fig10.draw(settings, arms, explained), args.output, args.png, *more)


if __name__ == "__main__":
    main()
