"""Data sets of the hub: the real clients against a stand-in server, online, streamed and from the cache."""

from pathlib import Path

import datasets
import huggingface_hub
import pytest
from hub_server import COMMIT, OTHER, Hub, serving
from source_files import PLAIN, lines, problems, refused, write_rows

from rlgen.sources.fetch import fetch
from rlgen.sources.settings import ProblemSource


def hub_source(repository: str = "acme/problems", revision: str | None = COMMIT, **fields: object) -> ProblemSource:
    return ProblemSource(hub=repository, revision=revision, format=PLAIN, **fields)


@pytest.fixture
def repository(tmp_path) -> Path:
    (tmp_path / "repository").mkdir()
    write_rows(tmp_path / "repository/train.jsonl", [{"q": f"What is {i}?", "a": i} for i in range(50)])
    return tmp_path / "repository"


def offline(cache: Path, monkeypatch) -> None:
    """What an earlier run left in the cache, and no network: HF_HUB_OFFLINE=1, as all tests have it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)


def test_a_data_set_of_the_hub_is_fetched_and_then_found_offline(repository, tmp_path, monkeypatch):
    hub, cache = Hub(problems=repository), tmp_path / "cache"
    with serving(hub, cache, monkeypatch):
        facts = fetch(hub_source(), tmp_path / "online.jsonl")
    assert facts["source"] == {"acme/problems": COMMIT} and facts["rows"] == 50
    local = fetch(problems(repository / "train.jsonl"), tmp_path / "local.jsonl")
    assert facts["sha256"] == local["sha256"]
    offline(cache, monkeypatch)
    assert fetch(hub_source(), tmp_path / "offline.jsonl") == facts
    refused(
        hub_source(revision=OTHER),
        tmp_path / "out.jsonl",
        r"acme/problems@decade00: not in the cache, which holds c0ffee00",
    )
    refused(
        hub_source(split="test"), tmp_path / "out.jsonl", r"""acme/problems@c0ffee00: Unknown split "test".*train"""
    )


def test_a_streamed_data_set_leaves_nothing_in_the_cache(repository, tmp_path, monkeypatch):
    hub, cache = Hub(problems=repository), tmp_path / "cache"
    with serving(hub, cache, monkeypatch):
        facts = fetch(hub_source(stream=True, rows=5), tmp_path / "out.jsonl")
        kept = fetch(hub_source(rows=5), tmp_path / "kept.jsonl")
        refused(hub_source(stream=True, split="test"), tmp_path / "no.jsonl", r"Bad split: test\. Available .*train")
    assert facts["rows"] == facts["rows_read"] == 5 and facts["sha256"] == kept["sha256"]


@pytest.mark.parametrize(
    ("name", "revision", "fields", "match"),
    [
        ("acme/gated", COMMIT, {}, r"acme/gated@c0ffee00: .*gated.*`hf auth login`"),
        ("acme/nowhere", COMMIT, {}, r"acme/nowhere@c0ffee00: .*doesn't exist"),
        ("acme/problems", OTHER, {}, r"acme/problems@decade00: Revision 'decade0+' doesn't exist"),
        ("acme/problems", "main", {}, r"acme/problems: revision 'main' may move, .*make pin"),
        ("acme/problems", None, {}, r"acme/problems: no revision, expected the commit to use .*make pin"),
        (
            "acme/problems",
            COMMIT,
            {"subset": "x"},
            r"acme/problems@c0ffee00: .*'x' not found\. Available: \['default'\]",
        ),
    ],
)
def test_failures_of_the_hub_are_one_line_with_what_to_do(
    name, revision, fields, match, repository, tmp_path, monkeypatch
):
    with serving(Hub(problems=repository), tmp_path / "cache", monkeypatch):
        refused(hub_source(name, revision, **fields), tmp_path / "out.jsonl", match)


def test_without_a_network_the_message_says_so(tmp_path, monkeypatch):
    refused(hub_source(), tmp_path / "out.jsonl", r"not in the cache, and HF_HUB_OFFLINE=1 forbids .*HF_HUB_OFFLINE=0")

    def unreachable(*_, **__):
        raise ConnectionError("Couldn't reach 'acme/problems' on the Hub (ConnectError)")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets, "load_dataset_builder", unreachable)
    refused(hub_source(), tmp_path / "out.jsonl", r"acme/problems at \w+: the hub cannot be reached .*HF_HUB_OFFLINE=1")


# Repositories with a loading script, which `datasets` does not run.


@pytest.fixture
def scripted(repository) -> Path:
    (repository / "problems.py").write_text("raise AssertionError('run')", encoding="utf-8")
    write_rows(repository / "more.jsonl", [{"q": f"And {i}?", "a": i, "meta": {"i": i}} for i in range(5)])
    return repository


def test_a_loading_script_is_named_as_the_cause(scripted, tmp_path, monkeypatch):
    with serving(Hub(problems=scripted), tmp_path / "cache", monkeypatch):
        cause = r"acme/problems@c0ffee00: holds the loading script problems\.py, which `datasets` 5\.\S+ does not run; "
        refused(
            hub_source(), tmp_path / "out.jsonl", cause + "name its data files in the source's `files` beside `hub`"
        )


def test_files_of_such_a_repository_are_read_by_name_and_then_found_offline(scripted, tmp_path, monkeypatch):
    """Files of one repository may have different columns, and come in the order of the config."""
    cache, source = tmp_path / "cache", hub_source(files=["more.jsonl", "train.jsonl"])
    with serving(Hub(problems=scripted), cache, monkeypatch):
        facts = fetch(source, tmp_path / "online.jsonl")
    assert facts["source"] == {"acme/problems": COMMIT} and facts["rows"] == 55
    found = lines(tmp_path / "online.jsonl")
    assert [row["prompt"] for row in found[4:6]] == ["And 4?", "What is 0?"]
    offline(cache, monkeypatch)
    assert fetch(source, tmp_path / "offline.jsonl") == facts


@pytest.mark.parametrize(
    ("files", "revision", "match"),
    [
        (["none.jsonl"], COMMIT, r"acme/problems at c0ffee0+: a file is missing"),
        (["problems.py"], COMMIT, r"acme/problems: problems\.py cannot be read as data, expected a file ending in"),
        (["train.jsonl"], OTHER, r"acme/problems at decade0+: the repository has no such revision"),
        (["train.jsonl"], None, r"acme/problems: no revision, expected the commit to use"),
    ],
)
def test_files_that_cannot_be_had_are_named(files, revision, match, scripted, tmp_path, monkeypatch):
    with serving(Hub(problems=scripted), tmp_path / "cache", monkeypatch):
        refused(hub_source(revision=revision, files=files), tmp_path / "out.jsonl", match)
    offline(tmp_path / "empty", monkeypatch)
    refused(hub_source(files=["train.jsonl"]), tmp_path / "out.jsonl", "not in the cache, and HF_HUB_OFFLINE=1 forbids")
