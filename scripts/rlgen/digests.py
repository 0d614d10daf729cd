"""SHA-256 of large files, each read once per run of the workflow.

A shard is hashed by the job that writes it, twice, and by each job that reads it, twice: at the scale of published
studies hundreds of terabytes. Within one run a file that still has its inode, size and time of change is the file that
was hashed: its digest lies in a folder of the run, which RLGEN_DIGESTS names. The next run reads everything again.
Without such a folder, and for small files, nothing is trusted.
"""

import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rlgen.files import digest, file_digest, write_text

FOLDER = "RLGEN_DIGESTS"  # environment variable
LARGE = 2**23  # bytes from which reading a note is much cheaper than hashing
THREADS = 4  # files hashed at a time: hashing runs beside Python, at about 1 GB/s each


def begin(results: Path) -> dict[str, str]:
    """The environment variable of a run that begins; forgets what runs before it knew."""
    folder = results / ".jobs/digests"
    shutil.rmtree(folder, ignore_errors=True)
    return {FOLDER: str((folder / f"{os.getpid()}-{time.time_ns()}").absolute())}


def files_in(folder: str | Path) -> list[Path]:
    """All files in a folder, in order, but those that begin with a dot: the engine puts one of its own there."""
    return sorted(path for path in Path(folder).rglob("[!.]*") if path.is_file())


def size_of(path: str | Path) -> int:
    """Bytes of a file, or of all files in a folder. Raises OSError for a path that is not there."""
    size = os.stat(path).st_size
    return sum(file.stat().st_size for file in files_in(path)) if os.path.isdir(path) else size


def digest_of(path: str | Path) -> str:
    """SHA-256 (hex) of a file's bytes, or what this run found when it last read the unchanged file.

    Of a folder: that of its files' places in it and of theirs.
    """
    if os.path.isdir(path):
        return digest({file.relative_to(path).as_posix(): file_digest(file) for file in files_in(path)})
    folder, size = os.environ.get(FOLDER), os.stat(path).st_size
    if not folder or size < LARGE:
        return file_digest(path)
    note = Path(folder, _identity(path))
    try:
        return note.read_text(encoding="ascii")
    except FileNotFoundError:
        pass
    found = file_digest(path)
    if note.name == _identity(path):  # it did not change meanwhile
        write_text(note, found)
    return found


def digests_of(paths: Sequence[str | Path]) -> list[str]:
    """The digests of several files, some of them read at the same time."""
    if len(paths) < 2:
        return [digest_of(path) for path in paths]
    with ThreadPoolExecutor(min(THREADS, len(paths))) as pool:
        return list(pool.map(digest_of, paths))


def _identity(path: str | Path) -> str:
    """Names a file's content as long as nobody writes to it; a file that is moved stays the same."""
    found = os.stat(path)
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
