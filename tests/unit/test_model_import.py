"""Import of models: the same weights in the project's layout, adapters by hand, everything unfit refused in a line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from hub_server import COMMIT, OTHER, Hub, serving
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tiny_models import CONFIGS, TEXTS, split_weights, tiny_adapter, tiny_checkpoint, tiny_tokenizer
from tokenizers import normalizers, pre_tokenizers
from transformers import Gemma2Config, GPT2Config, GraniteConfig, MistralConfig, T5Config

from rlgen import model_files, model_import
from rlgen.files import ArtifactError, file_digest
from rlgen.model_import import import_checkpoints, import_model
from rlgen.models import CHECKPOINT_FILES, load_model, load_tokenizer
from rlgen.settings.model_sources import ImportModel, Source

ROOT = Path(__file__).parents[2]
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 32}


def source(origin: str | Path, **fields: str | Path) -> Source:
    return Source.model_validate({"from": str(origin), **{name: str(value) for name, value in fields.items()}})


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> dict[str, Path]:
    """One folder per architecture; tests that change one copy it."""
    folder = tmp_path_factory.mktemp("published")
    return {name: tiny_checkpoint(folder / name, name) for name in CONFIGS}


@pytest.fixture
def base(published, tmp_path) -> Path:
    return Path(shutil.copytree(published["Qwen3ForCausalLM"], tmp_path / "base"))


@pytest.fixture
def no_weights(monkeypatch):
    """A refusal must come before weights are loaded."""

    def refuse(*_):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(model_import, "load", refuse)


def edit_config(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


# What comes out.


@pytest.mark.parametrize("architecture", CONFIGS)
def test_an_imported_model_is_a_checkpoint_with_the_same_weights(published, architecture, tmp_path):
    folder = published[architecture]
    facts = import_model(source(folder), tmp_path / "out", None, 1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(CHECKPOINT_FILES)
    weights, imported = load_file(folder / "model.safetensors"), load_file(tmp_path / "out/model.safetensors")
    assert weights.keys() == imported.keys() and all(torch.equal(weights[name], imported[name]) for name in weights)
    ids_BT = torch.arange(12).reshape(2, 6)
    assert torch.equal(load_model(folder)(ids_BT).logits, load_model(tmp_path / "out")(ids_BT).logits)
    assert facts == {
        "source": str(folder),
        "revision": None,
        "fingerprint": facts["fingerprint"],
        "adapter": None,
        "adapter_revision": None,
        "adapter_fingerprint": None,
        "sha256": file_digest(tmp_path / "out/model.safetensors"),
        "architecture": architecture,
        "dtype": "float32",
        "blocks": 2,
        "hidden_size": 32,
        "vocabulary": 320,
        "parameters": sum(weight.numel() for weight in weights.values()),
    }


@pytest.mark.parametrize("architecture", CONFIGS)
def test_the_tokenizer_comes_along(published, architecture, tmp_path):
    import_model(source(published[architecture]), tmp_path / "out", None, 0)
    before, after = load_tokenizer(published[architecture]), load_tokenizer(tmp_path / "out")
    for text in (*TEXTS, "  two  spaces\nand ünïcödé 123", ""):
        assert before(text)["input_ids"] == after(text)["input_ids"]
    assert (after.bos_token is not None) == (architecture == "LlamaForCausalLM")
    if after.bos_token:
        assert after("a")["input_ids"][0] == after.bos_token_id
    chat = [{"role": "user", "content": "2+2?"}]
    text = after.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
    assert after(text)["input_ids"].count(after.convert_tokens_to_ids("<|im_start|>")) == 2  # its marks are tokens


@pytest.mark.parametrize("both", [False, True])
def test_tied_embeddings_stay_tied(tmp_path, both):
    """Published are either the embedding alone, or both names with the same values."""
    tied = tiny_checkpoint(tmp_path / "tied", tied=True)
    weights = load_file(tied / "model.safetensors")
    assert "lm_head.weight" not in weights
    if both:
        save_file(
            {**weights, "lm_head.weight": weights["model.embed_tokens.weight"].clone()}, tied / "model.safetensors"
        )
    facts = import_model(source(tied), tmp_path / "out", tied, 1)
    imported = load_file(tmp_path / "out/model.safetensors")
    assert imported.keys() == weights.keys() and all(torch.equal(weights[name], imported[name]) for name in weights)
    assert facts["parameters"] == sum(weight.numel() for weight in weights.values())


def test_an_import_has_the_same_bytes_twice(base, tmp_path):
    for name in ("one", "two"):
        import_model(source(base), tmp_path / name, None, 1)
    for file in CHECKPOINT_FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_shards_become_one_file_and_keep_their_dtype(tmp_path):
    whole = tiny_checkpoint(tmp_path / "whole", "LlamaForCausalLM", dtype=torch.bfloat16)
    weights = load_file(whole / "model.safetensors")
    split_weights(whole, 3)
    edit_config(whole, dtype="float32")  # what the weights are counts, not what the config says
    facts = import_model(source(whole), tmp_path / "out", None, 1)
    imported = load_file(tmp_path / "out/model.safetensors")
    assert facts["dtype"] == "bfloat16" and {weight.dtype for weight in imported.values()} == {torch.bfloat16}
    assert weights.keys() == imported.keys() and all(torch.equal(weights[name], imported[name]) for name in weights)


def test_sampling_settings_that_contradict_each_other_are_no_obstacle(base, tmp_path):
    (base / "generation_config.json").write_text(json.dumps({"temperature": 0.9, "top_p": 0.6, "do_sample": False}))
    import_model(source(base), tmp_path / "out", None, 1)
    load_model(tmp_path / "out")


@pytest.mark.parametrize("changed", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_with_another_file_has_another_fingerprint(base, changed):
    before = model_files.find(str(base), None).fingerprint()
    assert model_files.find(str(base), None).fingerprint() == before
    with open(base / changed, "ab") as file:
        file.write(b" ")
    assert model_files.find(str(base), None).fingerprint() != before


@pytest.mark.parametrize(("rslora", "factor"), [(False, 6 / 4), (True, 6 / 2)])  # alpha 6, rank 4
def test_an_adapter_is_merged_as_by_hand(base, tmp_path, rslora, factor):
    adapter = tiny_adapter(tmp_path / "adapter", base, rank=4, alpha=6, rslora=rslora)
    facts = import_model(source(base, adapter=adapter), tmp_path / "out", base, 1)
    weights, merged = load_file(base / "model.safetensors"), load_file(tmp_path / "out/model.safetensors")
    low_rank = load_file(adapter / "adapter_model.safetensors")
    changed = set()
    for name, weight in weights.items():
        place = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{place}.lora_A.weight" in low_rank:
            changed.add(name)
            weight = weight + factor * low_rank[f"{place}.lora_B.weight"] @ low_rank[f"{place}.lora_A.weight"]
        torch.testing.assert_close(merged[name], weight, rtol=1e-6, atol=1e-5 * (name in changed))
    assert len(changed) == 6 and weights.keys() == merged.keys()  # q, v and down projections of two blocks
    assert facts["adapter"] == str(adapter) and facts["adapter_fingerprint"] and facts["revision"] is None


def test_a_merge_into_bfloat16_rounds_once(tmp_path):
    base = tiny_checkpoint(tmp_path / "base", dtype=torch.bfloat16)
    adapter = tiny_adapter(tmp_path / "adapter", base, targets=["q_proj"], alpha=4)
    import_model(source(base, adapter=adapter), tmp_path / "out", None, 1)
    name = "model.layers.1.self_attn.q_proj"
    low_rank = load_file(adapter / "adapter_model.safetensors")
    change = low_rank[f"base_model.model.{name}.lora_B.weight"] @ low_rank[f"base_model.model.{name}.lora_A.weight"]
    exact = load_file(base / "model.safetensors")[f"{name}.weight"].float() + change
    merged = load_file(tmp_path / "out/model.safetensors")[f"{name}.weight"]
    assert merged.dtype == torch.bfloat16
    assert ((merged.float() - exact).abs() <= exact.abs() * 2**-8 + change.abs() * 2**-8).all()


def test_checkpoints_are_numbered_in_their_order(published, tmp_path):
    base = published["Qwen3ForCausalLM"]
    folders = [tiny_checkpoint(tmp_path / f"step{i}", seed=i) for i in (3, 1, 2)]
    facts = import_checkpoints([source(folder) for folder in folders], tmp_path / "out", base, 1)
    assert [fact["source"] for fact in facts] == [str(folder) for folder in folders]
    for number, folder in enumerate(folders, start=1):
        weights = load_file(tmp_path / f"out/checkpoint{number}/model.safetensors")
        assert torch.equal(weights["lm_head.weight"], load_file(folder / "model.safetensors")["lm_head.weight"])


def test_all_checkpoints_are_checked_before_the_first_is_written(base, tmp_path, no_weights):
    narrow = tiny_checkpoint(tmp_path / "narrow", hidden_size=16)
    with pytest.raises(ArtifactError, match=r"narrow: hidden size 16, expected 32 as in .*base"):
        import_checkpoints([source(base), source(narrow)], tmp_path / "out", base, 1)
    assert not (tmp_path / "out").exists()


def test_tokens_added_by_post_training_are_fine(base, tmp_path):
    tuned = tiny_checkpoint(tmp_path / "tuned", tokenizer=tiny_tokenizer(extra=["<think>", "</think>"]))
    import_model(source(tuned), tmp_path / "out", base, 1)
    assert load_tokenizer(tmp_path / "out").convert_tokens_to_ids("</think>") == 321


def test_the_script_imports_what_the_slice_says(base, tmp_path):
    adapter = tiny_adapter(tmp_path / "adapter", base)
    cfg = ImportModel(threads=1, layer=1, sources=[source(base), source(base, adapter=adapter)])
    command = [sys.executable, "scripts/import_model.py", "--cfg", cfg.model_dump_json(), "--reference", str(base)]
    subprocess.run([*command, "--output", str(tmp_path / "out")], cwd=ROOT, check=True)
    first, second = json.loads((tmp_path / "out/source.json").read_text())
    assert (first["adapter"], second["adapter"]) == (None, str(adapter))
    assert second["sha256"] == file_digest(tmp_path / "out/checkpoint2/model.safetensors") != first["sha256"]


# What is refused, all before weights are loaded unless only they can tell.


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
        r"going on from a block's output is not its whole forward pass",
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


def test_sources_are_checked_with_the_config():
    assert Source.model_validate({"from": "a/b"}).model_dump(mode="json")["from"] == "a/b"
    for wrong in ({"origin": "a/b"}, {"from": ""}, {"from": "a/b", "adapter_revision": COMMIT}):
        with pytest.raises(ValidationError):
            Source.model_validate(wrong)


# The hub: the real client against a stand-in server.


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
        (UNFIT["no tokenizer"][0], None, 1, r"acme/base@c0ffee00: no tokenizer\.json"),
        (UNFIT["no blocks where they are read"][0], None, 1, r"acme/base@c0ffee00: .*GPT2LMHeadModel"),
        (UNFIT["pickled weights"][0], None, 1, r"acme/base@c0ffee00: .*pytorch_model\.bin"),
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


def test_a_folder_has_no_revision(base):
    with pytest.raises(ArtifactError, match=rf"base: a folder, but revision={COMMIT}; leave `revision` out"):
        model_files.find(str(base), COMMIT)
