"""What a study takes from this machine's disks: folders of models and files of data that are not there."""

import glob
from collections.abc import Collection, Iterator
from pathlib import Path

from rlgen.files import ArtifactError
from rlgen.hub import may_be_hub_id
from rlgen.models.gguf_header import check_reader, is_gguf, read_header
from rlgen.models.settings import Source
from rlgen.packaged import is_packaged, local_path
from rlgen.study.config import Study

TEACHER = "teacher"  # no model of a study is called so
FOLDER = "no such folder, expected a checkpoint folder (config.json, *.safetensors, tokenizer)"


def absent(study: Study) -> Iterator[str]:
    """Lines `field: path: what is missing`, for a plan or dry run: the job that needs it would stop.

    What may name a repository of the hub is left to the hub. Nothing is said of what an earlier run has fetched.
    """
    if study.organism:
        return
    for _, field, source in _models(study):
        for key, origin in (("from", source.origin), ("adapter", source.adapter)):
            if origin is None or is_gguf(origin) or may_be_hub_id(origin):
                continue
            if not Path(origin).expanduser().is_dir():
                yield f"{field}.{key}: {origin}: {FOLDER}"
    yield from unreadable(study, [*study.models, TEACHER])
    for field, patterns in _files(study):
        for pattern in patterns:
            if is_packaged(pattern):
                yield from (f"{field}: {problem}" for problem in _not_packaged(pattern))
            elif not glob.glob(str(Path(pattern).expanduser()), recursive=True):
                yield f"{field}: {pattern}: no such file"


def unreadable(study: Study, models: Collection[str]) -> Iterator[str]:
    """Lines `field: what is wrong` on GGUF files of some models, as far as headers tell, and on what reads them."""
    for name, field, source in _models(study):
        if name in models and is_gguf(source.origin):
            try:
                read_header(local_path(source.origin))
                check_reader()
            except ArtifactError as error:
                yield f"{field}.from: {error}"


def _not_packaged(origin: str) -> Iterator[str]:
    """What is wrong with a file inside a package, if anything."""
    try:
        local_path(origin)
    except ArtifactError as error:
        yield str(error)


def _models(study: Study) -> Iterator[tuple[str, str, Source]]:
    """(model, field, where it comes from) of every published model."""
    for name in study.made_by("load"):
        yield name, f"models.{name}", study.models[name]
        for i, source in enumerate(study.models[name].earlier):
            yield name, f"models.{name}.earlier.{i}", source
    if study.data.teacher is not None:
        yield TEACHER, "data.teacher", study.data.teacher


def _files(study: Study) -> Iterator[tuple[str, list[str]]]:
    """(field, paths or patterns) of everything that is read from local files."""
    for name, source in study.data.sources.items():
        if source.hub is None and source.generate is None:  # of the hub, `files` are names inside the repository
            yield f"data.sources.{name}.files", source.files
    for name, benchmark in study.data.benchmarks.items():
        for split, path in (benchmark.files or {}).items():
            yield f"data.benchmarks.{name}.files.{split}", [path]
