"""What a plan says of folders and files that are not there, before a job looks for them."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from gguf_files import gguf_of
from studies import changed, content_of
from tiny_models import tiny_checkpoint

from rlgen.study.load import load
from rlgen.study.places import absent, unreadable

OWN = content_of("bring-your-own")
FOLDER = "no such folder, expected a checkpoint folder"


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_folder_and_file_that_is_missing_is_named_with_its_field(here):
    told = list(absent(load(OWN)))
    assert len(told) == 7
    assert any(line.startswith(f"models.base.from: ./models/base: {FOLDER}") for line in told)
    assert any(line.startswith("models.rl.earlier.1.from: ./models/rl-step200: ") for line in told)
    assert "data.sources.general.files: data/documents.jsonl: no such file" in told
    (here / "models/base").mkdir(parents=True)
    (here / "data").mkdir()
    (here / "data/documents.jsonl").touch()
    assert len(list(absent(load(OWN)))) == 5


def test_adapters_and_files_of_benchmarks_are_places_too_and_the_hub_is_none(here):
    models = OWN["models"] | {"base": {"method": "load", "from": "owner/name", "adapter": "./lora"}}
    study = load(changed(OWN, models=models, data__benchmarks__sciq={"files": {"test": "data/*.jsonl"}}))
    told = list(absent(study))
    assert any(line.startswith("models.base.adapter: ./lora: ") for line in told)
    assert "data.benchmarks.sciq.files.test: data/*.jsonl: no such file" in told
    assert not any("owner/name" in line for line in told)


def test_an_organism_takes_nothing_from_elsewhere():
    assert list(absent(load(content_of("config")))) == []


def test_files_inside_a_repository_of_the_hub_are_no_places_of_this_machine(here):
    source = {"hub": "owner/texts", "files": ["part.jsonl"], "format": {"kind": "text"}}
    told = list(absent(load(changed(OWN, data__sources__general=source))))
    assert not any("data.sources.general" in line for line in told) and len(told) == 6


def test_what_a_gguf_file_lacks_is_told_with_its_field(here):
    """Missing, in no installed package, cut short; and the package that reads it, which a test may lack."""
    models = {
        "base": {"method": "load", "from": "models/a.gguf"},
        "sft": {"method": "load", "from": "package:no_such_model/a.gguf"},
        "rl": {"method": "load", "from": "./b.gguf", "earlier": [{"from": "./whole.gguf"}] * 2},
    }
    (here / "b.gguf").write_bytes(b"GGUF")
    gguf_of(tiny_checkpoint(here / "tiny", "LlamaForCausalLM"), here / "whole.gguf")
    study = load(changed(OWN, models=OWN["models"] | models))
    told = list(absent(study))
    assert "models.base.from: models/a.gguf: no such file; expected a file" in told
    assert any(line.startswith("models.sft.from: package:no_such_model/a.gguf: no package no_") for line in told)
    assert any(line.startswith("models.rl.from: b.gguf: its header cannot be read") for line in told)
    without = [line for line in told if line.startswith("models.rl.earlier.0.from: package gguf: is needed to read")]
    assert len(without) == (find_spec("gguf") is None)
    assert [line.split(":")[0] for line in unreadable(study, ["sft"])] == ["models.sft.from"]


def test_texts_inside_packages_are_places_too(here):
    source = {"files": ["package:pytest/no_such.txt"], "format": {"kind": "text"}}
    told = list(absent(load(changed(OWN, data__sources__general=source))))
    (line,) = (line for line in told if line.startswith("data.sources.general"))
    assert line.startswith("data.sources.general.files: package:pytest/no_such.txt: package pytest has no such file")
    source["files"] = ["package:pytest/__init__.py"]
    found = list(absent(load(changed(OWN, data__sources__general=source))))
    assert not any("data.sources.general" in line for line in found)
