"""Write table 2: effects of all edits at the chosen dose, beside random controls (docs/method.md, section 8)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read one tidy table, write it as CSV, LaTeX and HTML."""
    args = page_arguments(__doc__, "tex", "effects")

    from rlgen.figures import forms, page, tables

    settings, effects = read_page(args, page.Settings, effects=tables.EFFECT_COLUMNS)
    note = "Cells: mean over seeds (every seed), test half, dose chosen on the discovery half; flips: mean over seeds."
    forms.write(*tables.table2(settings, effects), args, settings, note)


if __name__ == "__main__":
    main()
