"""Sizes of a study's models, wherever they are told: in a checkpoint's folder, or in the study."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlgen.activations.disk import BYTES
from rlgen.files import ArtifactError
from rlgen.models.gguf_header import is_gguf, read_header
from rlgen.packaged import local_path
from rlgen.planning.arithmetic import ModelSize

if TYPE_CHECKING:
    from rlgen.study.config import Study


ORGANISM = "models of the organism: nothing is known until a job has run"


class NotEstimated(Exception):
    """Why there is no estimate."""


class Sizes:
    """Sizes of a study's models; its imported checkpoints lie in `results`."""

    def __init__(self, study: "Study", results: Path) -> None:
        self.study, self.results = study, results

    def size(self, state: str) -> ModelSize:
        """Size of a model, `rl` or `rl@2`, or of what it was trained from: as imported, as stated, or its folder's.

        Raises NotEstimated, naming the field, where nothing says.
        """
        model, seed = state.partition("@")[0], self.study.seeds[0]
        while hasattr(self.study.models[model], "parent"):
            model = self.study.models[model].parent.partition("@")[0]
        settings = self.study.models[model]
        if settings.method != "load":
            raise NotEstimated(ORGANISM)
        imported = self.results / f"models/{model}/seed{seed}/checkpoint{settings.checkpoints}"
        return _size(imported, settings, f"models.{model}")

    def teacher_size(self) -> ModelSize:
        """Size of the teacher. Raises NotEstimated."""
        return _size(self.results / "models/teacher/checkpoint1", self.study.data.teacher, "data.teacher")


def _size(imported: Path, settings: Any, field: str) -> ModelSize:
    stated = settings.size and ModelSize.stated(settings.size)
    found = read_size(imported) or stated or _of_origin(settings.origin)
    if found is None:
        raise NotEstimated(f"{field}.size is missing (blocks, hidden_size, parameters)")
    return found


def _of_origin(origin: str) -> ModelSize | None:
    return gguf_size(origin) if is_gguf(origin) else read_size(Path(origin))


def gguf_size(origin: str) -> ModelSize:
    """Size of a GGUF file's model, by its header; its checkpoint is in float32. Raises NotEstimated."""
    try:
        header = read_header(local_path(origin))
        size = header.size
    except ArtifactError as error:
        raise NotEstimated(str(error)) from error
    return ModelSize(size.blocks, size.hidden_size, size.parameters, header.vocabulary, BYTES["float32"])


def read_size(folder: Path) -> ModelSize | None:
    """Size of a checkpoint in a folder, by config.json and the bytes of its weights; None where that is not said."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        width = BYTES[config.get("dtype") or config.get("torch_dtype") or "float32"]
        weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        found = config["num_hidden_layers"], config["hidden_size"], weights / width, config.get("vocab_size"), width
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return ModelSize(*found) if weights else None
