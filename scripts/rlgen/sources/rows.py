"""Rows as they were published, one after the other: from the hub, through `datasets`, or from local files.

Local files are read line by line, not through `datasets`, so that a malformed line can be named.
"""

import glob
import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from rlgen.files import ArtifactError, file_digest, first_line
from rlgen.hub import check_pinned, hub_errors, loading_script
from rlgen.packaged import is_packaged, local_path
from rlgen.sources.settings import DataSource
from rlgen.tasks.generated import documents, generator

ENDINGS = (".jsonl", ".json", ".parquet", ".txt")


def local_files(patterns: list[str]) -> list[Path]:
    """The files of paths and patterns, in that order, those of one pattern by name, each once.

    Raises ArtifactError for one that matches nothing or is of another kind.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        if is_packaged(pattern):
            paths = [str(local_path(pattern))]
        else:
            paths = sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True))
        if not paths:
            raise ArtifactError(pattern, "no such file", "mend the source's `files` in the config")
        for path in map(Path, paths):
            if path.suffix not in ENDINGS or not path.is_file():
                problem = f"cannot be read as data, expected a file ending in {', '.join(ENDINGS)}"
                raise ArtifactError(path, problem, "mend the source's `files` in the config")
            found[path] = None
    return list(found)


def fingerprint(source: DataSource) -> dict[str, str]:
    """What a source's rows come from: the repository with its commit, files with their SHA-256, or the generator."""
    if source.generate is not None:
        return generator()
    if source.hub is not None:
        return {source.hub: str(source.revision)}
    return {str(path): file_digest(path) for path in local_files(source.files)}


def rows(source: DataSource) -> Iterator[dict[str, Any]]:
    """All rows of a source, in the order of publication, read as they are asked for.

    Raises ArtifactError, one line, for files that are missing or malformed and for all failures of the hub.
    """
    if source.generate is not None:
        return iter(documents(source.generate))
    if source.hub is not None:
        return _hub_rows(source)
    return (row for path in local_files(source.files) for row in _file_rows(path))


def _file_rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
    elif path.suffix == ".json":
        yield from _json_rows(path)
    elif path.suffix == ".txt":
        yield from _paragraphs(path)
    else:
        yield from _jsonl_rows(path)


def _jsonl_rows(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError as error:  # bytes that are no UTF-8 as well
                    raise _malformed(path, f"line {number} is not JSON ({error})") from error
                yield _object(row, path, f"line {number}")


def _paragraphs(path: Path) -> Iterator[dict[str, Any]]:
    """Parts of a text between empty lines, each as {text}; line ends inside a part are spaces, as in a printed book."""
    try:
        with open(path, encoding="utf-8") as file:
            for is_part, lines in groupby(map(str.strip, file), bool):
                if is_part:
                    yield {"text": " ".join(lines)}
    except UnicodeDecodeError as error:
        raise _malformed(path, f"is no UTF-8 ({error})") from error


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise _malformed(path, f"not JSON ({error})") from error
    if not isinstance(content, list):
        raise _malformed(path, f"holds {type(content).__name__}, expected a list of objects")
    for number, row in enumerate(content, start=1):
        yield _object(row, path, f"entry {number}")


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise _malformed(path, f"not a readable Parquet table ({first_line(error)})") from error


def _object(row: Any, path: Path, place: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise _malformed(path, f"{place} is {type(row).__name__}, expected an object with columns")
    return row


def _malformed(path: Path, problem: str) -> ArtifactError:
    return ArtifactError(path, problem, "mend the file, or take it out of the source's `files`")


def _repository_rows(source: DataSource) -> Iterator[dict[str, Any]]:
    """Rows of named files of a repository, which may hold a loading script beside them."""
    from huggingface_hub import hf_hub_download

    for name in source.files:
        if Path(name).suffix not in ENDINGS:
            problem = f"{name} cannot be read as data, expected a file ending in {', '.join(ENDINGS)}"
            raise ArtifactError(source.hub, problem, "mend the source's `files` in the config")
    for name in source.files:
        with hub_errors(source.hub, source.revision):
            path = hf_hub_download(source.hub, name, repo_type="dataset", revision=source.revision)
        yield from _file_rows(Path(path))


def _hub_rows(source: DataSource) -> Iterator[dict[str, Any]]:
    check_pinned(source.hub, source.revision)
    if source.files:
        yield from _repository_rows(source)
        return
    import datasets

    datasets.disable_progress_bars()
    name = f"{source.hub}@{source.revision[:8]}"
    try:
        with hub_errors(source.hub, source.revision):
            yield from _published(datasets, source, name)
    except datasets.exceptions.DatasetNotFoundError as error:
        remedy = "check name and revision; where it is gated or private, `hf auth login` after access was granted"
        raise ArtifactError(name, first_line(error), remedy) from error
    except ArtifactError:
        raise
    except (ValueError, RuntimeError, FileNotFoundError, datasets.exceptions.DatasetsError) as error:
        if script := loading_script(error):
            problem = f"holds the loading script {script}, which `datasets` {datasets.__version__} does not run"
            remedy = "name its data files in the source's `files` beside `hub`, or take a copy without a script"
            raise ArtifactError(name, problem, remedy) from error
        # an unknown subset or split (the message lists those there are), broken files
        raise ArtifactError(name, first_line(error), "check `subset`, `split` and `revision`") from error


def _published(datasets: Any, source: DataSource, name: str) -> Iterator[dict[str, Any]]:
    builder = datasets.load_dataset_builder(source.hub, source.subset, revision=source.revision)
    if builder.hash != source.revision:  # without a network `datasets` takes whatever version the cache holds
        remedy = "run this once with HF_HUB_OFFLINE=0 on a connected machine"
        raise ArtifactError(name, f"not in the cache, which holds {str(builder.hash)[:8]}", remedy)
    if source.stream:
        yield from builder.as_streaming_dataset(split=source.split)
    else:
        builder.download_and_prepare()
        yield from builder.as_dataset(split=source.split)
