"""C++ beside a Python module, compiled for this machine when first used and kept in a cache.

Nothing but a compiler named by CXX, or g++, is needed, and nothing is fetched. The library shares torch's OpenMP
threads: torch is loaded first, and its libgomp has the name that the compiler asks for.
"""

import ctypes
import os
import platform
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch  # noqa: F401 - loads the OpenMP runtime to share

from rlgen.files import atomic_path, digest

FLAGS = ["-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-shared", "-fPIC"]


@cache
def load(source: Path) -> ctypes.CDLL | None:
    """The library made from `source` (and a header of that name); None, said once on stderr, where it cannot be made.

    A library is kept by its source, compiler, flags and processor, and appears whole, so that several processes may
    build it at once.
    """
    compiler = shlex.split(os.environ.get("CXX", "g++"))
    try:
        version = _run([*compiler, "--version"])
        text = [path.read_text(encoding="utf-8") for path in (source, source.with_suffix(".h")) if path.exists()]
        key = digest([text, compiler, version, FLAGS, _processor()])[:16]
        library = _cache() / f"{source.stem}-{key}.so"
        if not library.exists():
            with atomic_path(library) as partial:
                _run([*compiler, *FLAGS, str(source), "-o", str(partial)])
        return ctypes.CDLL(str(library))
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        print(f"{source.name} not compiled, the slower torch code does its work: {reason}", file=sys.stderr)
        return None


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout


def _processor() -> str:
    """What this machine's code may use: another machine that shares the cache may lack it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        return "\n".join(line for line in lines if line.split("\t")[0] in ("model name", "flags", "Features"))
    except OSError:
        return platform.processor()


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "rlgen"
