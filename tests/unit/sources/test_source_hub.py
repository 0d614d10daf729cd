"""Data sets of the hub: the real clients against a stand-in server, online, streamed and from the cache."""

from pathlib import Path

import datasets
import huggingface_hub
import pytest
from hub_server import COMMIT, OTHER, Hub, serving
from source_files import PLAIN, problems, refused, write_rows

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
