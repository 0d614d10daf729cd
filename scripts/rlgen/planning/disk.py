"""What a study puts on the disk, downloads included, part by part. Sizes follow from the config; none is measured.

The parts do not all lie there at once, so that their sum is an upper bound. Left out are sources of text and problems,
whose size is not known before they are fetched, and tables and figures, which are small.
"""

from dataclasses import dataclass

from rlgen.activations.disk import shard_bytes
from rlgen.hub import is_hub_id
from rlgen.planning.arithmetic import ModelSize, dictionary_weights
from rlgen.planning.sizes import NotEstimated, Sizes
from rlgen.planning.work import Estimator

PUBLISHED = 2  # bytes per weight of a model on the hub: bfloat16
STATE = 4 + 8  # bytes per weight of a state to continue from: float32 weights and Adam's two moments
TEXT, TOKEN = 4, 4  # bytes per token, as text and as its number


@dataclass(frozen=True)
class Part:
    """Something on the disk: bytes, or why they are not known."""

    name: str
    bytes: float | None
    note: str = ""


def disk_parts(estimator: Estimator) -> list[Part]:
    """Everything that a whole study keeps, and what its running jobs need beside."""
    study, found = estimator.study, []
    found.append(_part("models, kept checkpoints", lambda: _checkpoints(estimator)))
    found.append(_part("states of models in training", lambda: _training_states(estimator)))
    if not study.organism:
        found.append(_part("the hub's cache, from downloads of models", lambda: downloads(estimator)))
        if study.data.teacher:
            found.append(_part("the teacher", lambda: _bytes(estimator.teacher_size())))
            found.append(_part("the teacher's solutions", lambda: _solutions(estimator)))
    found.append(_part("activations, kept shards", lambda: _shards(estimator, study.kept_shards)))
    if study.stream.windows > 1:
        name = f"activations, windows on the disk ({study.stream.windows_on_disk} of {study.stream.windows})"
        found.append(_part(name, lambda: _shards(estimator, window_shards(estimator))))
    found.append(_part("token stream", lambda: study.stream.rows * TOKEN * len(study.seeds)))
    found.append(_part("dictionaries", lambda: 4 * _dictionary_numbers(estimator)))
    found.append(_part("states of dictionaries in training", lambda: 2 * STATE * _dictionary_numbers(estimator)))
    return found


def window_shards(sizes: Sizes) -> int:
    """Shards per model state of the windows that lie on the disk together."""
    stream = sizes.study.stream
    return stream.training_shards // stream.windows * min(stream.windows_on_disk, stream.windows)


def activations_gb(sizes: Sizes) -> float:
    """Shards that lie on the disk together, one seed's, 1e9 bytes: what `stream.disk_gb` limits."""
    study = sizes.study
    kept = _shards(sizes, study.kept_shards + (window_shards(sizes) if study.stream.windows > 1 else 0))
    return kept / len(study.seeds) / 1e9


def downloads(estimator: Estimator) -> float:
    """Bytes of the models that come from the hub."""
    study, total = estimator.study, 0.0
    for name in study.made_by("load"):
        hub = sum(is_hub_id(source.origin) for source in study.models[name].sources())
        total += hub and hub * PUBLISHED * estimator.size(name).parameters
    if study.data.teacher and is_hub_id(study.data.teacher.origin):
        total += PUBLISHED * estimator.teacher_size().parameters
    return total


def _part(name: str, of) -> Part:
    try:
        return Part(name, of())
    except NotEstimated as error:
        return Part(name, None, str(error))


def _bytes(size: ModelSize) -> float:
    """Of one checkpoint; a trained model is kept in the dtype of its parent."""
    return size.saved * size.parameters


def _checkpoints(estimator: Estimator) -> float:
    study = estimator.study
    kept = sum(_bytes(estimator.size(name)) * study.models[name].checkpoints for name in study.models)
    return kept * len(study.seeds)


def _training_states(estimator: Estimator) -> float:
    study = estimator.study
    return sum(STATE * estimator.size(name).parameters for name in study.trained()) * len(study.seeds)


def _solutions(estimator: Estimator) -> float:
    teacher, assumed = estimator.study.data.teacher, estimator.assumed
    written = estimator.problems() * teacher.samples_per_prompt * min(assumed.solution_tokens, teacher.max_new_tokens)
    return written * TEXT * len(estimator.study.seeds)


def _shards(sizes: Sizes, shards: int) -> float:
    """Bytes of so many shards of every harvested state."""
    study = sizes.study
    per_state = {name: shard_bytes(study.stream, sizes.size(name).hidden_size) for name in study.models}
    return sum(len(study.harvested(name)) * size for name, size in per_state.items()) * shards * len(study.seeds)


def _dictionary_numbers(estimator: Estimator) -> float:
    """Numbers in all dictionaries together."""
    study, total = estimator.study, 0
    for dictionary, recipe in study.trained_dictionaries():
        members = study.dictionaries[dictionary].members
        d = estimator.size(members[0].partition("@")[0]).hidden_size
        sizes = (study.recipes[recipe].latents, study.recipes[recipe].hidden_units)
        total += dictionary_weights(len(members), d, *sizes)
    return total * len(study.seeds)
