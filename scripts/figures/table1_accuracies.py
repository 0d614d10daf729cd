"""Write table 1: final accuracies of all models, per task and seed (docs/method.md, section 2)."""

from rlgen.figures.command import page_arguments, read_page


def main() -> None:
    """Read one tidy table, write it as CSV, LaTeX and HTML."""
    args = page_arguments(__doc__, "tex", "accuracy")

    from rlgen.figures import forms, page, tables

    settings, accuracy = read_page(args, page.TasksPage, accuracy=tables.ACCURACY_COLUMNS)
    note = "Cells: mean over seeds (every seed), test half."
    forms.write(*tables.table1(settings, accuracy), args, settings, note)


if __name__ == "__main__":
    main()
