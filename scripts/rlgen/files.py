"""Artifacts on disk: whole or absent, the same bytes for the same content, named when they are broken."""

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    import pandas as pd

Row = TypeVar("Row")


class ArtifactError(RuntimeError):
    """A file of the study that cannot be used: which one, what is wrong, what to do.

    `ArtifactError(path, problem)`, or `ArtifactError(message)` where the message says all three.
    """

    def __init__(
        self,
        path: str | Path,
        problem: str | None = None,
        remedy: str = "delete it and run snakemake again to rebuild it",
    ) -> None:
        super().__init__(str(path) if problem is None else f"{path}: {problem}; {remedy}")


def canonical_json(value: Any, only_ascii: bool = False) -> str:
    """The one text of a JSON value: sorted keys, no spaces, shortest exact floats. NaN raises ValueError.

    With `only_ascii` other characters are escaped: a command line is written and read in the locale's encoding.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=only_ascii, allow_nan=False)


def all_finite(value: Any) -> bool:
    """Whether a value, with all that lists and mappings in it hold, is free of NaN and infinity."""
    if isinstance(value, Mapping):
        return all(map(all_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(all_finite, value))
    return not isinstance(value, float | Decimal) or math.isfinite(value)


def digest(value: Any) -> str:
    """SHA-256 (hex) of bytes, or of the canonical JSON text of any other value."""
    data = value if isinstance(value, bytes) else canonical_json(value).encode()
    return hashlib.sha256(data).hexdigest()


def file_digest(path: str | Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write to: renamed to `path` when the block ends well, removed when it fails.

    The suffix is kept, because some writers choose the format by it. Parent folders are made. An OSError that does not
    say which file it is about (a full disk while writing) is made to name `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def move(source: str | Path, target: str | Path) -> None:
    """Move a file; `target` appears whole, also where it lies on another file system, as behind a link to a disk."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with atomic_path(target) as partial:
            shutil.copyfile(source, partial)
        os.unlink(source)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text with '\\n' line ends."""
    with atomic_path(path) as partial:
        partial.write_bytes(text.encode())


def read_rows(path: str | Path, parse: Callable[..., Row]) -> Iterator[Row]:
    """What `parse` makes of the fields of each line of a JSONL file, one at a time.

    Lines end at "\\n" alone: texts may hold other line separators. Raises ArtifactError naming a file that cannot be
    read, or a line that `parse` refuses by a ValueError, TypeError or KeyError.
    """
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield parse(**json.loads(line))
                except (ValueError, TypeError, KeyError) as error:
                    raise ArtifactError(path, f"line {number} is not what is expected there ({error})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(path, f"cannot be read ({error})") from error


def write_json(path: str | Path, value: Any) -> None:
    """Write readable JSON with sorted keys. NaN and infinity raise ValueError."""
    write_text(path, json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table that people read: ten significant digits, empty where a value is missing, no index column."""
    write_text(path, table.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def read_csv(path: str | Path) -> "pd.DataFrame":
    """Read a CSV table in which only an empty field is a missing value. Raises ArtifactError for one that cannot be."""
    import pandas as pd

    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:  # pandas' parser errors and decoding errors are ValueErrors
        raise ArtifactError(path, f"not a readable CSV table ({first_line(error)})") from error


def write_parquet(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table as Parquet (zstd) without its index."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_path(path) as partial:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), partial, compression="zstd")


def read_parquet(path: str | Path, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a Parquet table, or only some of its columns. Raises ArtifactError for a missing, cut or foreign file."""
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(path, f"not a readable Parquet table ({first_line(error)})") from error


def with_columns(table: "pd.DataFrame", columns: Sequence[str], path: str | Path) -> "pd.DataFrame":
    """The table itself. Raises ArtifactError naming the file it was read from and the columns that it lacks."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ArtifactError(path, f"column(s) {', '.join(missing)} missing, found {', '.join(table.columns)}")
    return table


def write_tensors(path: str | Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write torch tensors or numpy arrays (not mixed) as safetensors; metadata values are text."""
    if all(type(t).__module__ == "numpy" for t in tensors.values()):
        from safetensors.numpy import save
    else:
        from safetensors.torch import save

        tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    data = _sort_header(save(dict(tensors), metadata=dict(metadata or {"format": "pt"})))
    with atomic_path(path) as partial:
        partial.write_bytes(data)


def read_tensors(
    path: str | Path, framework: Literal["pt", "np"] = "pt", only: Sequence[str] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a safetensors file into (tensors by name, metadata); torch tensors, or numpy arrays with `framework="np"`.

    `only` names the tensors that are read; all without it.
    Raises ArtifactError naming the file when it is missing, cut short or not a safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework=framework) as file:
            names = file.keys() if only is None else only
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ArtifactError(path, f"not a whole safetensors file ({first_line(error)})") from error


def _sort_header(data: bytes) -> bytes:
    """The same safetensors file with sorted metadata: the library orders them anew in every process."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format pads its header to whole 8-byte words
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def first_line(error: BaseException) -> str:
    """The first line of an error's text (two where it ends in a colon), or its class where it has none."""
    first, *others = str(error).strip().split("\n")
    text = " ".join([first, *(line.strip() for line in others[:1])]) if first.endswith(":") else first
    return (text or type(error).__name__).rstrip(".")
