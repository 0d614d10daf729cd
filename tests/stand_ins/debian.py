"""Packages of Debian that tests install where they may."""

import os
import subprocess


def install(packages: list[str]) -> str:
    """Install packages of Debian; what went wrong, or nothing."""
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    # The lists of packages of a bare image are empty, those of other machines need no update.
    for call in (command, ["apt-get", "update"], command):
        run = subprocess.run(call, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8")
        if call is command and run.returncode == 0:
            return ""
    return f"`{' '.join(command)}` failed: {run.stderr.strip()[-300:]}"
