"""Tables in two forms: every number as CSV for machines, what one reads as LaTeX for a page."""

from pathlib import Path

import pandas as pd

from rlgen.figures.page import Page
from rlgen.files import write_csv, write_text

# Characters that stand for commands while the cells around them are escaped: of the private use area, which no
# printable text holds.
TYPEWRITER, UNDERLINE, END = "\ue000", "\ue001", "\ue002"
COMMANDS = {TYPEWRITER: r"\texttt{", UNDERLINE: r"\underline{", END: "}"}


def latex(
    page: Page,
    wide: pd.DataFrame,
    note: str,
    columns: str = "",
    long: bool = False,
    nothing: str = "nothing to report",
) -> str:
    """A LaTeX table that names its study and what its cells mean in a comment.

    `columns`: their format, where it is not `l` for all; `long`: it may go on over pages; `nothing`: what a table
    without rows says.
    """
    packages = "packages booktabs and longtable" if long else "package booktabs"
    head = f"% Study {page.study}. {note} Needs the {packages}.\n"
    if wide.empty:
        return f"{head}% {nothing}\n"
    form = columns or "l" * wide.shape[1]
    body = wide.to_latex(index=False, escape=True, na_rep="–", column_format=form, longtable=long)
    for stand_in, command in COMMANDS.items():
        body = body.replace(stand_in, command)
    return head + body


def write(
    tidy: pd.DataFrame, wide: pd.DataFrame, csv: str | Path, tex: str | Path, page: Page, note: str, **form: object
) -> None:
    """Write both forms; `form` as in `latex`."""
    write_csv(csv, tidy)
    write_text(tex, latex(page, wide, note, **form))
