"""Write table 2: effects of all edits at the chosen dose, beside random controls (docs/method.md, section 8)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read one tidy table, write it as CSV and LaTeX."""
    args = page_arguments(__doc__, "tex", "effects")

    from rlgen.figures import latex, page, tables

    settings, effects = read_page(args, page.Settings, effects=tables.EFFECT_COLUMNS)
    note = "Cells: mean over seeds (every seed), test half, dose chosen on the discovery half; flips: mean over seeds."
    latex.write(*tables.table2(settings, effects), args.output, args.tex, settings, note)


if __name__ == "__main__":
    main()
