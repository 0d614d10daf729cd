"""The files of a published model: which there are and how large, small ones read before any weights are fetched."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from rlgen.files import ArtifactError, digest, file_digest
from rlgen.hub import PIN, check_pinned, hub_errors, is_hub_id, not_reached
from rlgen.models.gguf_header import Header, is_gguf, read_header
from rlgen.packaged import local_path

DESCRIPTION = (
    *("config.json", "generation_config.json", "adapter_config.json", "model.safetensors.index.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja"),
)
WHOLE, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class ModelFiles:
    """A model's repository at one commit, its folder, or one GGUF file, whose `header` says what else is in it.

    `sizes` (bytes) holds all files, `folder` the small ones.
    """

    name: str
    revision: str | None
    folder: Path
    sizes: dict[str, int]
    header: Header | None = None

    @property
    def label(self) -> str:
        """The name in messages: a repository with the first digits of its commit."""
        return f"{self.name}@{self.revision[:8]}" if self.revision else self.name

    def read_json(self, file: str) -> dict:
        """Content of a small file. Raises ArtifactError where it is missing or no JSON object."""
        if file not in self.sizes:
            raise ArtifactError(
                self.label, f"no {file}, expected a model in the format of transformers", "check `from`"
            )
        try:
            content = json.loads((self.folder / file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(self.folder / file, f"cannot be read as JSON ({error})", "fetch it again") from error
        if not isinstance(content, dict):
            raise ArtifactError(self.folder / file, "holds no JSON object", "fetch it again")
        return content

    def weights(self) -> list[str]:
        """Names of the files that hold the weights, in one file or as the index lists them.

        Raises ArtifactError for pickled weights, an index that names missing files, or none at all.
        """
        if self.header is not None:
            return [self.header.path.name]
        if WHOLE in self.sizes:
            return [WHOLE]
        if INDEX in self.sizes:
            files = sorted(set(self.read_json(INDEX).get("weight_map", {}).values()))
            for file in files:
                if file not in self.sizes:
                    raise self.without(file)
            if files:
                return files
        raise self.without(WHOLE)

    def adapter_weights(self) -> list[str]:
        """The file that holds an adapter's weights. Raises ArtifactError for pickled ones or none."""
        if ADAPTER in self.sizes:
            return [ADAPTER]
        raise self.without(ADAPTER)

    def without(self, wanted: str) -> ArtifactError:
        """The error that a weights file is missing; it names pickled ones, which are never read."""
        from huggingface_hub import is_offline_mode

        if self.revision and is_offline_mode():
            return not_reached(f"{self.label}/{wanted}", FileNotFoundError(wanted))
        pickled = sorted(file for file in self.sizes if file.endswith(PICKLED))
        if not pickled:
            return ArtifactError(self.label, f"no {wanted}, expected whole weights as safetensors", "check it")
        problem = f"holds its weights as pickles ({pickled[0]}), which can run code; expected {wanted}"
        return ArtifactError(self.label, problem, "take a revision with safetensors, or convert them")

    def bytes_of(self, files: list[str]) -> int:
        """Size of some files."""
        return sum(self.sizes[file] for file in files)

    def missing_here(self, files: list[str]) -> list[str]:
        """Files that `fetch` would have to download."""
        return [] if self.revision is None else [file for file in files if not (self.folder / file).exists()]

    def fetch(self, files: list[str]) -> Path:
        """Download the files that are missing here; returns the folder that now holds them."""
        return self.folder if not self.missing_here(files) else _download(self.name, self.revision, files)

    def fingerprint(self) -> str:
        """SHA-256 of a folder's files, name by name; a commit is its own fingerprint."""
        return self.revision or digest({file: file_digest(self.folder / file) for file in sorted(self.sizes)})


def find(origin: str, revision: str | None) -> ModelFiles:
    """The files of a hub id at a commit, of a folder, or a GGUF file; of a repository, only small ones are downloaded.

    Raises ArtifactError for a name that is none of these, a repository without a commit, all failures of the hub, and
    a GGUF file that is not there or cannot be read.
    """
    if is_gguf(origin):
        path = local_path(origin)
        return ModelFiles(origin, None, path.parent, {path.name: path.stat().st_size}, read_header(path))
    folder = Path(origin).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ArtifactError(origin, f"a folder, but revision={revision}", "leave `revision` out, or take a hub id")
        return ModelFiles(origin, None, folder, _sizes(folder))
    if not is_hub_id(origin):
        raise ArtifactError(
            origin, "no such folder, and no hub id either", "expected a checkpoint folder or owner/name"
        )
    if revision is None:
        problem = "no such folder, and as a hub id it has no revision, expected the commit to use"
        raise ArtifactError(origin, problem, PIN)
    check_pinned(origin, revision)
    sizes, cached = _listing(origin, revision)
    small = [file for file in DESCRIPTION if file in sizes]
    if not small:
        raise ArtifactError(f"{origin}@{revision[:8]}", "no config.json, expected a model of transformers", "check it")
    return ModelFiles(origin, revision, cached or _download(origin, revision, small), sizes)


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}


def _listing(repository: str, revision: str) -> tuple[dict[str, int], Path | None]:
    """All files of a repository with their sizes (bytes); offline, those in the cache and the folder they lie in."""
    from huggingface_hub import HfApi, is_offline_mode, snapshot_download

    with hub_errors(repository, revision):
        if is_offline_mode():
            folder = Path(snapshot_download(repository, revision=revision, local_files_only=True, allow_patterns=[]))
            return _sizes(folder), folder
        files = HfApi().model_info(repository, revision=revision, files_metadata=True).siblings
        return {file.rfilename: file.size or 0 for file in files}, None


def _download(repository: str, revision: str, files: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    with hub_errors(repository, revision):
        return Path(snapshot_download(repository, revision=revision, allow_patterns=files))


def check_space(needs: dict[Path, int], what: str) -> None:
    """Raises ArtifactError where a disk has less room (bytes) than all the folders on it need together."""
    wanted: dict[int, int] = {}
    for folder, size in needs.items():
        place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        device = os.stat(place).st_dev
        wanted[device] = wanted.get(device, 0) + size
        free = shutil.disk_usage(place).free
        if wanted[device] > free:
            problem = f"{what} needs {wanted[device] / 1e9:.2f} GB of disk here, {free / 1e9:.2f} GB are free"
            raise ArtifactError(folder, problem, "free some space, or put results on another disk")
