"""What cannot be imported: each named in one line, before weights are loaded unless only they can tell."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hub_server import COMMIT
from safetensors.torch import load_file, save_file
from tiny_models import edit_config, source, split_weights, tiny_adapter, tiny_checkpoint, tiny_tokenizer
from tokenizers import normalizers, pre_tokenizers
from transformers import Gemma2Config, GPT2Config, GraniteConfig, MistralConfig, T5Config

from rlgen.files import ArtifactError
from rlgen.sources import model_files, model_import
from rlgen.sources.model_import import import_checkpoints, import_model

SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 32}


@pytest.fixture
def base(tmp_path) -> Path:
    return tiny_checkpoint(tmp_path / "base")


@pytest.fixture
def no_weights(monkeypatch):
    """A refusal must come before weights are loaded."""

    def refuse(*_):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(model_import, "load", refuse)


def refused(folder: Path, match: str, reference: Path | None = None, layer: int = 1, **fields: Path) -> None:
    output = folder.parent / "out"
    with pytest.raises(ArtifactError, match=match) as error:
        import_model(source(folder, **fields), output, reference, layer)
    assert "\n" not in str(error.value) and not output.exists()


def other_config(config: object):
    return lambda folder: config.save_pretrained(folder)


UNFIT = {
    "no blocks where they are read": (
        other_config(GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=2)),
        r"architecture GPT2LMHeadModel has no model\.model\.layers",
    ),
    "blocks that attend in two ways": (
        other_config(Gemma2Config(vocab_size=320, head_dim=16, intermediate_size=64, **SMALL)),
        r"blocks of Gemma2ForCausalLM attend in different ways \(full_attention, sliding_attention\), expected one",
    ),
    "embeddings that are scaled on entry": (
        other_config(GraniteConfig(vocab_size=320, intermediate_size=64, embedding_multiplier=12.0, **SMALL)),
        r"going on from a block's output is not its whole forward pass: log-probabilities differ by .* nats",
    ),
    "no causal model": (
        other_config(T5Config(vocab_size=320, d_model=32, num_layers=2, num_heads=2)),
        r"no causal language model \(Unrecognized configuration class",
    ),
    "a classifier": (
        lambda folder: edit_config(folder, architectures=["Qwen3ForSequenceClassification"]),
        r"weights are those of a Qwen3ForSequenceClassification, expected a Qwen3ForCausalLM",
    ),
    "code of its own": (
        lambda folder: edit_config(folder, model_type="mine", auto_map={"AutoConfig": "configuration_mine.Mine"}),
        r"architecture 'mine' is not supported .*custom code",
    ),
    "quantised": (lambda folder: edit_config(folder, quantization_config={"bits": 4}), r"weights are quantised"),
    "a config that is no JSON": (
        lambda folder: (folder / "config.json").write_text("{"),
        r"config\.json: cannot be read as JSON",
    ),
    "no config": (lambda folder: (folder / "config.json").unlink(), r"no config\.json"),
    "a vocabulary larger than the embedding": (
        lambda folder: edit_config(folder, vocab_size=300),
        r"token '.+' has id 319, expected less than 300, the rows of the embedding",
    ),
    "no tokenizer": (
        lambda folder: [(folder / name).unlink() for name in ("tokenizer.json", "tokenizer_config.json")],
        r"no tokenizer\.json, expected a model with its tokenizer",
    ),
    "a broken tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{}"), r"tokenizer cannot be read"),
    "pickled weights": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        r"weights as pickles \(pytorch_model\.bin\), which can run code; expected model\.safetensors",
    ),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), r"no model\.safetensors, expected whole"),
    "a missing shard": (
        lambda folder: (split_weights(folder, 2), (folder / "model-00002-of-00002.safetensors").unlink()),
        r"no model-00002-of-00002\.safetensors",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_model_that_does_not_fit_is_refused_by_name(base, name, no_weights):
    damage, match = UNFIT[name]
    damage(base)
    refused(base, rf"base(/config\.json)?: .*{match}" if "JSON" not in name else match)


def test_another_architecture_that_runs_in_parts_is_taken(tmp_path, base):
    config = MistralConfig(vocab_size=320, head_dim=16, intermediate_size=64, sliding_window=None, **SMALL)
    weights = load_file(base / "model.safetensors")
    save_file({n: w for n, w in weights.items() if "_norm" not in n}, base / "model.safetensors", {"format": "pt"})
    config.save_pretrained(base)
    assert import_model(source(base), tmp_path / "out", None, 1)["architecture"] == "MistralForCausalLM"


@pytest.mark.parametrize("layer", [2, 40, -1])
def test_a_layer_out_of_range_is_refused(base, layer, no_weights):
    refused(base, rf"base: stream\.layer={layer} is out of range, expected 0 to 1 \(2 blocks\)", layer=layer)


def test_another_hidden_size_is_refused(base, tmp_path, no_weights):
    refused(tiny_checkpoint(tmp_path / "wide", hidden_size=64), r"wide: hidden size 64, expected 32 as in .*base", base)


def with_part(**parts: object):
    """A tokenizer that cuts text differently, with the same vocabulary."""
    tokenizer = tiny_tokenizer()
    for name, part in parts.items():
        setattr(tokenizer.backend_tokenizer, name, part)
    return tokenizer


def swapped():
    """A tokenizer with the same tokens, two of them with each other's id."""
    tokenizer = tiny_tokenizer()
    core = json.loads(tokenizer.backend_tokenizer.to_str())
    vocab = core["model"]["vocab"]
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]
    tokenizer._tokenizer = type(tokenizer.backend_tokenizer).from_str(json.dumps(core))
    return tokenizer


def merged_otherwise():
    """A tokenizer with the same vocabulary, whose last two merges come in the other order."""
    tokenizer = tiny_tokenizer()
    core = json.loads(tokenizer.backend_tokenizer.to_str())
    core["model"]["merges"][-2:] = core["model"]["merges"][:-3:-1]
    tokenizer._tokenizer = type(tokenizer.backend_tokenizer).from_str(json.dumps(core))
    return tokenizer


A = tiny_tokenizer().convert_tokens_to_ids("a")
B = tiny_tokenizer().convert_tokens_to_ids("b")
OTHER_TOKENIZERS = {
    "another text": (lambda: tiny_tokenizer(["zyxwv " * 20]), r"token '.+' has (no id|id \d+), expected id \d+"),
    "ids swapped": (swapped, rf"token 'a' has id {B}, expected id {A}"),
    "fewer tokens": (lambda: tiny_tokenizer(vocabulary=300), r"token '.+' has no id, expected id 300"),
    "more tokens": (
        lambda: tiny_tokenizer(vocabulary=330),
        r"token '.+' \(id 320\) is in its vocabulary, expected only",
    ),
    "other merges": (merged_otherwise, r"model\.merges, entry \d+, is \[.+\], expected \["),
    "other normalisation": (
        lambda: with_part(normalizer=normalizers.Lowercase()),
        r"normalizer is .*Lowercase.*, expected null",
    ),
    "other cuts": (
        lambda: with_part(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)),
        r'pre_tokenizer is .*"add_prefix_space": true.*, expected .*"add_prefix_space": false',
    ),
}


def test_where_tokens_say_they_begin_is_no_difference(base, tmp_path):
    cuts = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False)
    tuned = tiny_checkpoint(tmp_path / "tuned", tokenizer=with_part(pre_tokenizer=cuts))
    import_model(source(tuned), tmp_path / "out", base, 1)


@pytest.mark.parametrize("name", OTHER_TOKENIZERS)
def test_another_tokenizer_is_refused_and_what_differs_is_named(base, name, tmp_path, no_weights):
    make, match = OTHER_TOKENIZERS[name]
    refused(tiny_checkpoint(tmp_path / "tuned", tokenizer=make()), rf"tuned: .*{match}.*base\)", base)


def test_weights_that_are_cut_are_named(base):
    path = base / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    refused(base, r"base/model\.safetensors: cannot be read")


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"num_hidden_layers": 3, "layer_types": ["full_attention"] * 3}, r"tensors are missing in its weights"),
        ({"num_hidden_layers": 1, "layer_types": ["full_attention"]}, r"tensors are unused of its weights"),
        ({"intermediate_size": 96}, r"weights cannot be loaded"),
    ],
)
def test_weights_of_another_config_are_refused(base, fields, match):
    edit_config(base, **fields)
    refused(base, rf"base: .*{match}", layer=0)


def test_weights_in_eight_bits_are_refused(base):
    weights = {name: weight.to(torch.float8_e4m3fn) for name, weight in load_file(base / "model.safetensors").items()}
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    refused(base, r"its weights are F8_E4M3, expected F32, BF16, F16")


def test_a_full_disk_is_refused_before_anything_is_read(base, monkeypatch, no_weights):
    monkeypatch.setattr(model_files.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))
    refused(base, r"out: importing .*base needs 0\.00 GB of disk here, 0\.00 GB are free; free some space")


def test_room_is_counted_per_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(model_files.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 0, 100))
    model_files.check_space({tmp_path / "cache": 60, tmp_path / "deep/out": 40}, "it")
    with pytest.raises(ArtifactError, match=r"deep/out: it needs"):
        model_files.check_space({tmp_path / "cache": 60, tmp_path / "deep/out": 41}, "it")


def test_an_adapter_of_another_model_is_refused(base, tmp_path, no_weights):
    wide = tiny_checkpoint(tmp_path / "wide", hidden_size=64)
    refused(
        base,
        r"down_proj\.lora_A\.weight is for a width of 128, expected 64 as in .*base",
        adapter=tiny_adapter(tmp_path / "a", wide),
    )
    deep = tiny_checkpoint(tmp_path / "deep", layers=3)
    refused(base, r"changes model\.layers\.2\.\S+, which .*base \(Qwen3", adapter=tiny_adapter(tmp_path / "b", deep))


def test_what_is_no_adapter_is_refused(base, tmp_path, no_weights):
    adapter = tiny_adapter(tmp_path / "other", base, peft_type="PREFIX_TUNING")
    refused(base, r"other: peft_type 'PREFIX_TUNING', expected 'LORA'", adapter=adapter)
    refused(base, r"base: no adapter_model\.safetensors", adapter=base)
    pickled = tiny_adapter(tmp_path / "pickled", base)
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    refused(base, r"pickles \(adapter_model\.bin\).*expected adapter_model\.safetensors", adapter=pickled)
    cut = tiny_adapter(tmp_path / "cut", base)
    (cut / "adapter_model.safetensors").write_bytes(b"")
    refused(base, r"cut/adapter_model\.safetensors: cannot be read", adapter=cut)


@pytest.mark.parametrize(
    ("targets", "match"),
    [
        (["q_proj", "v_proj"], r"the adapter has unused weights .*down_proj"),
        (["q_proj", "v_proj", "down_proj", "o_proj"], r"the adapter has no weights for .*o_proj"),
        (["nothing"], r"the adapter cannot be merged"),
    ],
)
def test_an_adapter_whose_config_and_weights_differ_is_refused(base, tmp_path, targets, match):
    refused(base, match, adapter=tiny_adapter(tmp_path / "adapter", base, target_modules=targets))


def test_an_adapter_that_is_not_finite_is_refused(base, tmp_path):
    adapter = tiny_adapter(tmp_path / "adapter", base)
    weights = load_file(adapter / "adapter_model.safetensors")
    next(iter(weights.values()))[0, 0] = torch.nan
    save_file(weights, adapter / "adapter_model.safetensors", {"format": "pt"})
    refused(base, r"adapter: the adapter cannot be merged \(NaNs", adapter=adapter)


def test_all_checkpoints_are_checked_before_the_first_is_written(base, tmp_path, no_weights):
    narrow = tiny_checkpoint(tmp_path / "narrow", hidden_size=16)
    with pytest.raises(ArtifactError, match=r"narrow: hidden size 16, expected 32 as in .*base"):
        import_checkpoints([source(base), source(narrow)], tmp_path / "out", base, 1)
    assert not (tmp_path / "out").exists()


def test_a_folder_has_no_revision(base):
    with pytest.raises(ArtifactError, match=rf"base: a folder, but revision={COMMIT}; leave `revision` out"):
        model_files.find(str(base), COMMIT)
