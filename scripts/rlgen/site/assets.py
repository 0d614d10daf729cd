"""Templates, styles and scripts of the pages. They lie in the folder of this module's name and belong to its code.

`tabulator.*` is Tabulator 6.5.3 (tabulator.info, MIT licence), as published on npm, without the link to its source map.
"""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rlgen.files import write_text
from rlgen.site.numbers import shown

FOLDER = Path(__file__).with_suffix("")
TEMPLATE = ".html"  # ending of templates; all other files are copied


@cache
def _templates() -> Environment:
    """Templates that escape all they are given, and refuse what they are not given."""
    found = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["shown"] = shown
    return found


def render(template: str, **values: object) -> str:
    """The text of a page."""
    return _templates().get_template(template + TEMPLATE).render(**values) + "\n"


def copy_assets(site: Path) -> None:
    """Styles, scripts and licences, into the site's folder `assets/`."""
    for path in sorted(FOLDER.iterdir()):
        if path.suffix != TEMPLATE:
            write_text(site / "assets" / path.name, path.read_text(encoding="utf-8"))
