"""What a plan says of folders and files that are not there, before a job looks for them."""

from pathlib import Path

import pytest
from studies import changed, content_of

from rlgen.study.load import load
from rlgen.study.places import absent

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
