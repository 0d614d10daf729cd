"""Models of the hub: the real client against a stand-in server, and every way in which the hub can fail."""

import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from hub_server import COMMIT, OTHER, Hub, serving
from safetensors.torch import load_file
from tiny_models import source, split_weights, tiny_adapter, tiny_checkpoint, tiny_tokenizer
from transformers import GPT2Config

from rlgen.files import ArtifactError
from rlgen.models.settings import Source
from rlgen.sources import model_files
from rlgen.sources.model_import import import_model


@pytest.fixture
def base(tmp_path) -> Path:
    return tiny_checkpoint(tmp_path / "base")


def without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def of_another_kind(folder: Path) -> None:
    GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=2).save_pretrained(folder)


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def test_a_model_of_the_hub_is_imported_and_then_found_offline(base, tmp_path, monkeypatch):
    weights = load_file(base / "model.safetensors")
    split_weights(base, 2)
    adapter = tiny_adapter(tmp_path / "adapter", tiny_checkpoint(tmp_path / "again"), targets=["q_proj"])
    hub, cache = Hub(base=base, lora=adapter), tmp_path / "cache"
    one = source("acme/base", revision=COMMIT)
    two = source("acme/base", revision=COMMIT, adapter="acme/lora", adapter_revision=COMMIT)
    with serving(hub, cache, monkeypatch):
        online = import_model(one, tmp_path / "online", None, 1)
        tuned = import_model(two, tmp_path / "tuned", tmp_path / "online", 1)
    assert (online["source"], online["revision"], online["fingerprint"]) == ("acme/base", COMMIT, COMMIT)
    assert (tuned["adapter"], tuned["adapter_revision"]) == ("acme/lora", COMMIT)
    assert len({path for path in hub.weights_asked() if "acme/base" in path}) == 2
    imported = load_file(tmp_path / "online/model.safetensors")
    assert all(torch.equal(weights[name], imported[name]) for name in weights)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    assert import_model(one, tmp_path / "offline", None, 1) == online  # HF_HUB_OFFLINE=1, as all tests have it


@pytest.mark.parametrize(
    ("damage", "reference", "layer", "match"),
    [
        (None, None, 2, r"acme/base@c0ffee00: stream\.layer=2 is out of range"),
        (without_tokenizer, None, 1, r"acme/base@c0ffee00: no tokenizer\.json"),
        (of_another_kind, None, 1, r"acme/base@c0ffee00: .*GPT2LMHeadModel"),
        (pickled, None, 1, r"acme/base@c0ffee00: .*pytorch_model\.bin"),
        (None, {"hidden_size": 64}, 1, r"acme/base@c0ffee00: hidden size 32, expected 64"),
        (None, {"tokenizer": tiny_tokenizer(vocabulary=310)}, 1, r"acme/base@c0ffee00: token"),
    ],
)
def test_no_weights_are_downloaded_for_a_model_that_is_refused(
    base, damage, reference, layer, match, tmp_path, monkeypatch
):
    if damage:
        damage(base)
    if reference:
        reference = tiny_checkpoint(tmp_path / "reference", **reference)
    hub = Hub(base=base)
    with serving(hub, tmp_path / "cache", monkeypatch), pytest.raises(ArtifactError, match=match):
        import_model(source("acme/base", revision=COMMIT), tmp_path / "out", reference, layer)
    assert hub.asked and not hub.weights_asked()


def test_no_weights_are_downloaded_to_a_full_disk(base, tmp_path, monkeypatch):
    size, hub = (base / "model.safetensors").stat().st_size, Hub(base=base)
    room = {"free": 2 * size - 1}  # the download and the copy
    monkeypatch.setattr(model_files.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, room["free"]))
    one = source("acme/base", revision=COMMIT)
    with serving(hub, tmp_path / "cache", monkeypatch):
        with pytest.raises(ArtifactError, match="of disk here"):
            import_model(one, tmp_path / "out", None, 1)
        assert not hub.weights_asked()
        room["free"] = 2 * size
        import_model(one, tmp_path / "out", None, 1)
        room["free"] = size  # it lies in the cache now
        import_model(one, tmp_path / "again", None, 1)


@pytest.mark.parametrize(
    ("repository", "revision", "match"),
    [
        ("acme/gated", COMMIT, r"acme/gated at \w+: the repository is gated .*`hf auth login`"),
        ("acme/nowhere", COMMIT, r"acme/nowhere at \w+: the hub has no such repository, or it is private"),
        ("acme/broken", COMMIT, r"acme/broken at \w+: the hub refuses \(Server error '500"),
        ("acme/base", OTHER, r"acme/base at decade\w+: the repository has no such revision; .*make pin"),
        ("acme/base", "main", r"acme/base: revision 'main' may move, expected a commit .*make pin"),
        ("acme/base", None, r"acme/base: no such folder, and as a hub id it has no revision, .*make pin"),
        ("acme", COMMIT, r"acme: no such folder, and no hub id either; expected a checkpoint folder or owner/name"),
    ],
)
def test_failures_of_the_hub_are_one_line_with_what_to_do(base, repository, revision, match, tmp_path, monkeypatch):
    one = Source.model_validate({"from": repository, "revision": revision})
    hub = serving(Hub(base=base, gated=base), tmp_path / "cache", monkeypatch)
    with hub, pytest.raises(ArtifactError, match=match) as error:
        import_model(one, tmp_path / "out", None, 1)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_without_a_network_the_message_says_so(tmp_path, monkeypatch):
    one = source("acme/base", revision=COMMIT)
    with pytest.raises(ArtifactError, match=r"not in the cache, and HF_HUB_OFFLINE=1 forbids .*HF_HUB_OFFLINE=0"):
        import_model(one, tmp_path / "out", None, 1)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    with pytest.raises(ArtifactError, match=r"acme/base at \w+: the hub cannot be reached .*set HF_HUB_OFFLINE=1"):
        import_model(one, tmp_path / "out", None, 1)


def test_weights_that_the_cache_lacks_are_named_offline(base, tmp_path, monkeypatch):
    hub, cache = Hub(base=base), tmp_path / "cache"
    with serving(hub, cache, monkeypatch):
        model_files.find("acme/base", COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    with pytest.raises(ArtifactError, match=r"acme/base@c0ffee00/model\.safetensors: not in the cache"):
        import_model(source("acme/base", revision=COMMIT), tmp_path / "out", None, 1)
