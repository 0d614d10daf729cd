"""Whether two models read the same tokens: one token stream must mean the same to all models of a study."""

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlgen.files import ArtifactError, first_line
from rlgen.models.checkpoints import tokenizer_class

PARTS = ("normalizer", "pre_tokenizer")
ONE = "a study's models must share one tokenizer: take a model that was tuned from the reference"


def read_tokenizer(folder: Path, label: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder. Raises ArtifactError where there is none that can be written as tokenizer.json."""
    remedy = "take a source that publishes its tokenizer (tokenizer.json)"
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise ArtifactError(label, "no tokenizer.json, expected a model with its tokenizer", remedy)
    try:
        tokenizer = tokenizer_class(folder).from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # broken files, code in the repository, a missing converter
        raise ArtifactError(label, f"its tokenizer cannot be read ({first_line(error)})", remedy) from error
    if not tokenizer.is_fast or not len(tokenizer):
        raise ArtifactError(label, "its tokenizer has no tokenizer.json and cannot be turned into one", remedy)
    return tokenizer


def check_embedded(tokenizer: PreTrainedTokenizerBase, label: str, rows: int) -> None:
    """Raises ArtifactError where a token has no row in the model's embedding."""
    token, largest = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if largest >= rows:
        problem = f"token {token!r} has id {largest}, expected less than {rows}, the rows of the embedding"
        raise ArtifactError(label, problem, "take the tokenizer that belongs to these weights")


def check_same(tokenizer: PreTrainedTokenizerBase, label: str, of: PreTrainedTokenizerBase, reference: str) -> None:
    """Raises ArtifactError, naming what differs first, where a tokenizer cannot stand for the reference's.

    All tokens of the reference must keep their ids, words must be cut at the same places by the same merges. Tokens
    that post-training added behind them are fine, and so is another chat template.
    """
    problem = difference(tokenizer, of)
    if problem:
        raise ArtifactError(label, f"{problem} ({reference})", ONE)


def difference(tokenizer: PreTrainedTokenizerBase, of: PreTrainedTokenizerBase) -> str | None:
    """What first tells a tokenizer from the reference's, as `what it has, expected what`."""
    ids, expected = tokenizer.get_vocab(), of.get_vocab()
    for token, number in sorted(expected.items(), key=lambda item: item[1]):
        if ids.get(token) != number:
            return f"token {token!r} has {_id(ids.get(token))}, expected id {number}"
    for token in sorted(set(ids) - set(expected) - set(tokenizer.get_added_vocab()), key=ids.get):
        return f"token {token!r} (id {ids[token]}) is in its vocabulary, expected only the reference's and added ones"
    parts, wanted = _parts(tokenizer), _parts(of)
    for place in sorted(wanted.keys() | parts.keys()):
        if parts.get(place) != wanted.get(place):
            return _differing(place, parts.get(place), wanted.get(place))
    return None


def _parts(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What decides how text becomes tokens, but for the vocabulary: parts of tokenizer.json by name."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    model = {f"model.{name}": value for name, value in content["model"].items() if name != "vocab"}
    return model | {name: _without_offsets(content[name]) for name in PARTS}


def _without_offsets(value: Any) -> Any:
    """A part without what only decides where tokens say that they begin: converters write it one way or the other."""
    if isinstance(value, dict):
        return {name: _without_offsets(part) for name, part in value.items() if name != "trim_offsets"}
    return [_without_offsets(part) for part in value] if isinstance(value, list) else value


def _differing(place: str, found: Any, expected: Any) -> str:
    if isinstance(found, list) and isinstance(expected, list):  # merges: name the first that differs
        for number, (one, other) in enumerate(zip_longest(found, expected)):
            if one != other:
                return f"tokenizer's {place}, entry {number}, is {_short(one)}, expected {_short(other)}"
    return f"tokenizer's {place} is {_short(found)}, expected {_short(expected)}"


def _id(number: int | None) -> str:
    return "no id" if number is None else f"id {number}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:97] + "..."
