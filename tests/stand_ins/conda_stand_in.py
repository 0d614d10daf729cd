"""conda, as far as Snakemake calls it: environments of a YAML file, made of what is installed here.

Nothing is downloaded: an environment is a virtual one with links to the files of those packages alone that its file
pins, in the versions that are here. It has no access to any other package, so what it lacks is missed as in a real one.
"""

import json
import os
import re
import sys
import venv
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

VERSION = "24.7.1"  # the oldest that Snakemake takes
ANSWERS = {
    ("clean", "-y", "--tarballs"): "",
    ("--version",): f"conda {VERSION}",
    ("config", "--get", "channel_priority", "--json"): json.dumps({"get": {"channel_priority": "strict"}}),
}


def install(base: Path) -> Path:
    """Put a conda into `base`; returns its folder of commands, for PATH."""
    commands = base / "bin"
    commands.mkdir(parents=True)
    start = f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "{base}" "$@"\n'
    (commands / "conda").write_text(start, encoding="utf-8")
    (commands / "conda").chmod(0o755)
    (commands / "activate").write_text('export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n', encoding="utf-8")
    return commands


def create(prefix: Path, packages: Iterable[str]) -> Path:
    """A virtual environment with these packages and no other; returns its interpreter."""
    venv.create(prefix, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = prefix / f"lib/{version}/site-packages"
    for name in packages:
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or []} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(found.locate_file(top)).absolute())
    return prefix / "bin/python"


def _main(base: str, *arguments: str) -> None:
    if arguments == ("info", "--json"):
        print(json.dumps({"conda_prefix": base, "platform": "linux-64"}))
    elif arguments in ANSWERS:
        print(ANSWERS[arguments])
    elif arguments[:4] == ("env", "create", "--quiet", "--no-default-packages"):
        given = dict(zip(arguments[4::2], arguments[5::2], strict=True))
        text = Path(given["--file"]).read_text(encoding="utf-8")
        if f"  - python={sys.version_info.major}.{sys.version_info.minor}\n" not in text:
            raise SystemExit(f"{given['--file']}: wants another Python than {sys.version}")
        create(Path(given["--prefix"]), re.findall(r"^ +- ([\w.-]+)==\S+$", text, flags=re.M))
    else:
        raise SystemExit(f"conda {' '.join(arguments)}: not known to the stand-in")


if __name__ == "__main__":
    os.umask(0o022)
    _main(*sys.argv[1:])
