"""Tables in three forms: every number as CSV for machines, what one reads as LaTeX for a page and HTML for a report."""

from argparse import Namespace
from html import escape

import pandas as pd

from rlgen.figures.page import Page
from rlgen.files import write_csv, write_text

# Characters that stand for commands while the cells around them are escaped: of the private use area, which no
# printable text holds.
TYPEWRITER, UNDERLINE, END = "\ue000", "\ue001", "\ue002"
COMMANDS = {TYPEWRITER: r"\texttt{", UNDERLINE: r"\underline{", END: "}"}
MATHS = {"−": "$-$", "±": r"$\pm$", "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$", "ν": r"$\nu$"}  # as pages print
MARKS = {TYPEWRITER: "<code>", UNDERLINE: "<mark>"}
STYLE = """body{font:15px/1.45 system-ui,sans-serif;margin:1.5em;color:#222}
table{border-collapse:collapse}th,td{padding:.3em .8em;text-align:left;vertical-align:top}
thead th{border-bottom:2px solid #222}tbody tr:nth-child(even){background:#f4f4f4}mark{background:#ffe08a}"""


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
    for stand_in, command in (COMMANDS | MATHS).items():
        body = body.replace(stand_in, command)
    return head + body


def html(page: Page, wide: pd.DataFrame, note: str, nothing: str = "nothing to report") -> str:
    """The same as one HTML page that needs no other file; texts of the data are escaped, marked tokens stay marked."""
    with pd.option_context("display.max_colwidth", None):  # or long texts are cut
        body = f"<p>{nothing}</p>" if wide.empty else wide.to_html(index=False, escape=True, na_rep="–", border=0)
    ends = iter(_ends(body))
    body = "".join(MARKS.get(c) or (next(ends) if c == END else c) for c in body)
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(page.study)}</title>'
    told = f"<p>Study {escape(page.study)}. {escape(note)}</p>"
    return f"{head}<style>{STYLE}</style></head><body>{told}\n{body}</body></html>\n"


def _ends(text: str) -> list[str]:
    """What closes each mark of a text, in their order: marks may lie in one another."""
    open_marks, found = [], []
    for character in text:
        if character in MARKS:
            open_marks.append(MARKS[character].replace("<", "</"))
        elif character == END:
            found.append(open_marks.pop())
    return found


def write(tidy: pd.DataFrame, wide: pd.DataFrame, files: Namespace, page: Page, note: str, **form: object) -> None:
    """Write all forms to the files `output` (CSV), `tex` and `html`; `form` as in `latex`."""
    write_csv(files.output, tidy)
    write_text(files.tex, latex(page, wide, note, **form))
    write_text(files.html, html(page, wide, note, str(form.get("nothing", "nothing to report"))))
