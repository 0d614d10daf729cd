"""What a GGUF file says before its weights, and what is refused without reading them."""

import math
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from gguf_files import F32, Q8_0, UNREADABLE, gguf_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tiny_models import tiny_checkpoint

from rlgen.files import ArtifactError
from rlgen.models import gguf_header
from rlgen.models.gguf_header import TYPES, check_reader, is_gguf, read_header


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "llama", "LlamaForCausalLM")


def test_sizes_are_those_of_the_checkpoint(checkpoint, tmp_path):
    header = read_header(gguf_of(checkpoint, tmp_path / "a.gguf", Q8_0))
    weights = load_file(checkpoint / "model.safetensors")
    size = header.size
    assert (size.blocks, size.hidden_size, header.vocabulary) == (2, 32, 320)
    assert size.parameters == sum(value.size for value in weights.values())
    vectors = sum(value.size for value in weights.values() if value.ndim == 1)
    assert header.quantisation == {"F32": vectors, "Q8_0": size.parameters - vectors}
    assert header.architecture == "llama" and header.fields["tokenizer.ggml.tokens"] == 320  # lists: their length


def test_tables_of_positions_are_no_weights(checkpoint, tmp_path):
    header = read_header(gguf_of(checkpoint, tmp_path / "a.gguf"))
    more = gguf_header.Header(header.path, header.fields, header.shapes | {"rope_freqs.weight": (8,)}, header.types)
    assert more.size == header.size


def test_known_types_are_those_that_can_be_read():
    constants = pytest.importorskip("gguf.constants", reason="NOT CHECKED: the package gguf is not installed")
    from gguf.quants import _type_traits

    readable = {*_type_traits, *(constants.GGMLQuantizationType[name] for name in ("F32", "F16"))}
    assert {int(kind): (kind.name, *constants.GGML_QUANT_SIZES[kind]) for kind in readable} == TYPES


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": UNREADABLE}, r"holds weights in a type that cannot be read \(number 24 of ggml's\), expected F32, "),
        ({"split__count": 3}, r"one of 3 parts, expected one whole file; merge them"),
        ({"general__architecture": None}, r"its header has no general\.architecture"),
        ({"llama__block_count": None}, r"its header has no llama\.block_count"),
    ],
)
def test_what_a_header_tells_against_a_file(checkpoint, tmp_path, change, told):
    path = gguf_of(checkpoint, tmp_path / "a.gguf", **change)
    with pytest.raises(ArtifactError, match=rf"a\.gguf: {told}"):
        _ = read_header(path).size


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "its header cannot be read: the file is broken or cut short"),
        (b"PK\x03\x04" + bytes(40), r"begins with b'PK\\x03\\x04', expected GGUF version 2 or 3, little-endian"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "GGUF version 1, expected GGUF version 2 or 3"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "GGUF version 50331648, expected GGUF version 2 or 3"),  # big-endian
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "holds no weights"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 2**60), "its header cannot be read"),  # a name of 2^60 bytes
    ],
)
def test_files_that_are_none(tmp_path, content, told):
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"a\.gguf: {told}"):
        read_header(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.99))
def test_a_file_cut_anywhere_is_refused(checkpoint, tmp_path, share):
    whole = gguf_of(checkpoint, tmp_path / "whole.gguf", Q8_0).read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: math.floor(share * len(whole))])
    with pytest.raises(ArtifactError, match=r"cut\.gguf: .*cut short"):
        read_header(path)


def test_a_file_that_changed_is_read_again(checkpoint, tmp_path):
    path = gguf_of(checkpoint, tmp_path / "a.gguf", F32)
    before = read_header(path).quantisation
    assert read_header(gguf_of(checkpoint, path, Q8_0)).quantisation != before


def test_what_is_a_gguf_file_is_told_by_its_name():
    assert is_gguf("./a.gguf") and is_gguf("package:a/b.gguf") and not is_gguf("owner/model-GGUF")


def test_the_package_that_reads_weights_is_asked_for_by_name(monkeypatch):
    monkeypatch.setattr(gguf_header, "find_spec", lambda name: None)
    with pytest.raises(ArtifactError, match=r"package gguf: .*run `pip install --no-deps gguf==0\.19\.0`"):
        check_reader()


def test_a_plan_needs_neither_numpy_nor_torch(checkpoint, tmp_path):
    path = gguf_of(checkpoint, tmp_path / "a.gguf")
    code = "from pathlib import Path; from rlgen.models.gguf_header import read_header; "
    code += f"read_header(Path({str(path)!r})).size"
    code += "; import sys; assert not {'numpy', 'torch', 'gguf', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
