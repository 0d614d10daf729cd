"""Write table 3: quality of all dictionaries on held-out rows (docs/method.md, section 4)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read tidy tables, write them as CSV, LaTeX and HTML."""
    args = page_arguments(__doc__, "tex", "quality", "features")

    from rlgen.figures import forms, page, tables

    settings, quality, features = read_page(
        args, page.Page, quality=tables.QUALITY_COLUMNS, features=tables.FEATURE_COLUMNS
    )
    note = "Cells: mean over seeds (every seed), held-out rows."
    forms.write(*tables.table3(settings, quality, features), args, settings, note)


if __name__ == "__main__":
    main()
