"""Import of models: the same weights in the project's layout, adapters merged as by hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_server import COMMIT
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tiny_models import (
    CONFIGS,
    TEXTS,
    edit_config,
    source,
    split_weights,
    tiny_adapter,
    tiny_checkpoint,
    tiny_tokenizer,
)

from rlgen.files import ArtifactError, file_digest
from rlgen.models.checkpoints import load_model, load_tokenizer
from rlgen.models.settings import Source
from rlgen.names import CHECKPOINT_FILES
from rlgen.sources import model_files
from rlgen.sources.model_import import ImportModel, import_checkpoints, import_model

ROOT = Path(__file__).parents[3]


@pytest.fixture
def base(tmp_path) -> Path:
    return tiny_checkpoint(tmp_path / "base")


@pytest.mark.parametrize("architecture", CONFIGS)
def test_an_imported_model_is_a_checkpoint_with_the_same_weights(architecture, tmp_path):
    folder = tiny_checkpoint(tmp_path / "published", architecture)
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
def test_the_tokenizer_comes_along(architecture, tmp_path):
    folder = tiny_checkpoint(tmp_path / "published", architecture)
    import_model(source(folder), tmp_path / "out", None, 0)
    before, after = load_tokenizer(folder), load_tokenizer(tmp_path / "out")
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


def test_checkpoints_are_numbered_in_their_order(base, tmp_path):
    folders = [tiny_checkpoint(tmp_path / f"step{i}", seed=i) for i in (3, 1, 2)]
    facts = import_checkpoints([source(folder) for folder in folders], tmp_path / "out", base, 1)
    assert [fact["source"] for fact in facts] == [str(folder) for folder in folders]
    for number, folder in enumerate(folders, start=1):
        weights = load_file(tmp_path / f"out/checkpoint{number}/model.safetensors")
        assert torch.equal(weights["lm_head.weight"], load_file(folder / "model.safetensors")["lm_head.weight"])


def test_tokens_added_by_post_training_are_fine(base, tmp_path):
    tuned = tiny_checkpoint(tmp_path / "tuned", tokenizer=tiny_tokenizer(extra=["<think>", "</think>"]))
    import_model(source(tuned), tmp_path / "out", base, 1)
    assert load_tokenizer(tmp_path / "out").convert_tokens_to_ids("</think>") == 321


def test_the_script_imports_what_the_slice_says(base, tmp_path):
    adapter = tiny_adapter(tmp_path / "adapter", base)
    cfg = ImportModel(threads=1, layer=1, sources=[source(base), source(base, adapter=adapter)])
    command = [
        sys.executable,
        "scripts/models/import_model.py",
        "--cfg",
        cfg.model_dump_json(),
        "--reference",
        str(base),
    ]
    subprocess.run([*command, "--output", str(tmp_path / "out")], cwd=ROOT, check=True)
    first, second = json.loads((tmp_path / "out/source.json").read_text())
    assert (first["adapter"], second["adapter"]) == (None, str(adapter))
    assert second["sha256"] == file_digest(tmp_path / "out/checkpoint2/model.safetensors") != first["sha256"]


def test_sources_are_checked_with_the_config():
    assert Source.model_validate({"from": "a/b"}).model_dump(mode="json")["from"] == "a/b"
    for wrong in ({"origin": "a/b"}, {"from": ""}, {"from": "a/b", "adapter_revision": COMMIT}):
        with pytest.raises(ValidationError):
            Source.model_validate(wrong)


def test_what_a_vocabulary_has_beyond_the_references_is_said_at_import(base, tmp_path, capsys):
    many = [f"<extra{i}>" for i in range(70)]
    tuned = tiny_checkpoint(tmp_path / "tuned", tokenizer=tiny_tokenizer(extra=many))
    import_model(source(tuned), tmp_path / "out", base, 1)
    said = capsys.readouterr().err
    assert f"tuned: 70 tokens that {base} lacks, such as '<extra0>': texts that both models read are cut as" in said
    assert (
        f"tuned: 448 rows in its embedding, {base} has 320: distances between them are over the ids that both" in said
    )
    import_model(source(base), tmp_path / "same", base, 1)
    assert "lacks" not in (said := capsys.readouterr().err) and "rows in its embedding" not in said


def test_a_context_shorter_than_the_studys_texts_is_refused(base, tmp_path):
    import_model(source(base), tmp_path / "out", None, 1, tokens=512)
    with pytest.raises(ArtifactError, match=r"base: its context holds 512 tokens, the study's texts have up to 513"):
        import_model(source(base), tmp_path / "other", None, 1, tokens=513)
