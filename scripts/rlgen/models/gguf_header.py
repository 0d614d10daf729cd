"""GGUF files, as llama.cpp writes them: where one lies, and what its header says. No weights are read here.

The format is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 2 or 3, little-endian. Plain
Python, because planning a study asks for sizes and must not wait for numpy. Weights are read by the package `gguf`.
"""

import math
import struct
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from rlgen.files import ArtifactError
from rlgen.models.settings import Size

READER = "gguf==0.19.0"  # what reads the weights
TYPES = {  # of tensors: number -> name, weights per block, bytes per block
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    30: ("BF16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
}
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9
NO_WEIGHTS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")  # tables, not parameters
ANOTHER = "take a whole GGUF file of a language model, in a quantisation such as Q4_K, Q8_0 or F16"


@dataclass(frozen=True)
class Header:
    """What a GGUF file says before its weights. Of lists among its fields only the length is kept."""

    path: Path
    fields: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]  # tensor -> its lengths, the innermost first
    types: dict[str, int]  # tensor -> a number in TYPES, or one that cannot be read

    @property
    def architecture(self) -> str:
        """The name that llama.cpp gives the architecture, such as `llama` or `qwen2`."""
        return str(self._field("general.architecture"))

    @property
    def size(self) -> Size:
        """Blocks, width and weights."""
        blocks, width = (self._field(f"{self.architecture}.{name}") for name in ("block_count", "embedding_length"))
        weights = sum(math.prod(shape) for name, shape in self.shapes.items() if name not in NO_WEIGHTS)
        return Size(blocks=blocks, hidden_size=width, parameters=weights)

    @property
    def vocabulary(self) -> int | None:
        """Rows of the embedding."""
        shape = self.shapes.get("token_embd.weight")
        return shape and shape[-1]

    @property
    def quantisation(self) -> dict[str, int]:
        """How many weights are stored in which type."""
        found: dict[str, int] = {}
        for name, shape in self.shapes.items():
            kind = TYPES[self.types[name]][0]
            found[kind] = found.get(kind, 0) + math.prod(shape)
        return dict(sorted(found.items()))

    def _field(self, name: str) -> Any:
        if name not in self.fields:
            raise ArtifactError(self.path, f"its header has no {name}", ANOTHER)
        return self.fields[name]


def is_gguf(origin: str) -> bool:
    """Whether a model's `from` names a GGUF file; no repository of the hub is called so."""
    return origin.endswith(".gguf")


def check_reader() -> None:
    """Raises ArtifactError where the package that reads weights is not installed."""
    if find_spec("gguf") is None:
        problem = "is needed to read a GGUF file and not installed"
        remedy = f"run `pip install --no-deps {READER}` with the Python of the jobs (what it requires is there)"
        raise ArtifactError("package gguf", problem, remedy)


def read_header(path: Path) -> Header:
    """The header of a GGUF file, checked against the file's length.

    Raises ArtifactError for a file that is none, is cut short, is a part of several, is in another byte order, or
    holds weights in a type that cannot be read.
    """
    status = path.stat()
    return _read(path, status.st_size, status.st_mtime_ns)


@cache
def _read(path: Path, length: int, changed: int) -> Header:
    """`read_header`, once for a file as it is."""
    try:
        with open(path, "rb") as file:
            reader = _Reader(file, length)
            header = _header(path, reader)
            end = max((_end(header, name, start) for name, start in reader.starts.items()), default=0)
            data = -(-file.tell() // reader.alignment) * reader.alignment
    except (struct.error, EOFError, UnicodeDecodeError, KeyError, RecursionError) as error:
        raise ArtifactError(path, "its header cannot be read: the file is broken or cut short", "fetch it again") from (
            error
        )
    if data + end > length:
        problem = f"cut short: {length} bytes, its header tells of {data + end}"
        raise ArtifactError(path, problem, "fetch it again")
    return header


def _header(path: Path, reader: "_Reader") -> Header:
    magic, version = reader.file.read(4), reader.number("I")
    if magic != b"GGUF" or version not in (2, 3):
        what = f"GGUF version {version}" if magic == b"GGUF" else f"begins with {magic!r}"
        raise ArtifactError(path, f"{what}, expected GGUF version 2 or 3, little-endian", ANOTHER)
    tensors, count = reader.number("Q"), reader.number("Q")
    fields = {}
    for _ in range(count):
        name = reader.text()
        fields[name] = reader.value(reader.number("I"))
    reader.alignment = fields.get("general.alignment", reader.alignment)
    if fields.get("split.count", 0) > 1:
        problem = f"one of {fields['split.count']} parts, expected one whole file"
        raise ArtifactError(path, problem, "merge them (`llama-gguf-split --merge`)")
    shapes, types = {}, {}
    for _ in range(tensors):
        name = reader.text()
        shapes[name] = tuple(reader.number("Q") for _ in range(reader.number("I")))
        types[name], reader.starts[name] = reader.number("I"), reader.number("Q")
    unknown = sorted({kind for kind in types.values() if kind not in TYPES})
    if unknown:
        known = ", ".join(name for name, *_ in TYPES.values())
        problem = f"holds weights in a type that cannot be read (number {unknown[0]} of ggml's), expected {known}"
        raise ArtifactError(path, problem, ANOTHER)
    if not shapes:
        raise ArtifactError(path, "holds no weights", ANOTHER)
    return Header(path, fields, shapes, types)


def _end(header: Header, name: str, start: int) -> int:
    """Where the bytes of a tensor end, from the first tensor's start."""
    _, weights, size = TYPES[header.types[name]]
    return start + math.prod(header.shapes[name]) // weights * size


class _Reader:
    """Values of a header, one after the other."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self.file, self.length = file, length
        self.alignment = 32
        self.starts: dict[str, int] = {}

    def number(self, kind: str) -> Any:
        """A number or truth value, little-endian, by its letter of `struct`."""
        return struct.unpack(f"<{kind}", self.file.read(struct.calcsize(f"<{kind}")))[0]

    def bytes(self) -> bytes:
        """Bytes behind their length."""
        length = self.number("Q")
        if length > self.length:
            raise EOFError
        return self.file.read(length)

    def text(self) -> str:
        """UTF-8 text."""
        return self.bytes().decode()

    def value(self, kind: int) -> Any:
        """A field's value; of a list its length."""
        if kind == TEXT:
            return self.text()
        if kind != LIST:
            return self.number(NUMBERS[kind])
        inner, count = self.number("I"), self.number("Q")
        if inner in NUMBERS:
            self.file.seek(count * struct.calcsize(f"<{NUMBERS[inner]}"), 1)
            return count
        if count > self.length:
            raise EOFError
        for _ in range(count):
            self.bytes() if inner == TEXT else self.value(inner)
        return count
