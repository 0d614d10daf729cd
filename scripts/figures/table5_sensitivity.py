"""Write table 5: variants of the main procedure, everything measured of them (docs/method.md, section 11)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read one tidy table, write it as CSV, LaTeX and HTML."""
    args = page_arguments(__doc__, "tex", "sensitivity")

    from rlgen.figures import forms, tables, variants

    settings, sensitivity = read_page(args, variants.Settings, sensitivity=variants.COLUMNS)
    note = (
        "Cells: mean over seeds (every seed); sets and directions from the discovery half, accuracy on the test half."
    )
    forms.write(*tables.table5(settings, sensitivity), args, settings, note)


if __name__ == "__main__":
    main()
