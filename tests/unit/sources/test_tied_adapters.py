"""Adapters on the embedding or the output head: an import gives what the adapter gives before it is merged."""

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_models import source, tiny_checkpoint

from rlgen.files import ArtifactError
from rlgen.models.checkpoints import load_model
from rlgen.sources.model_import import import_model

IDS_BT = torch.arange(12).reshape(2, 6)
ADAPTERS = {
    "the head": {"target_modules": ["lm_head"]},
    "the embedding": {"target_modules": ["embed_tokens"]},
    "both": {"target_modules": ["embed_tokens", "lm_head", "q_proj"]},
    "neither": {"target_modules": ["q_proj"]},
    "a head of its own": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "an embedding of its own": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "a few tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [3, 5]},
}


def trained(base, folder, **settings):
    """An adapter as peft saves it, its weights moved from where training begins."""
    torch.manual_seed(0)
    model = get_peft_model(load_model(base), LoraConfig(r=4, lora_alpha=6, task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.3 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore")
@torch.inference_mode()
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ADAPTERS)
def test_an_import_gives_the_adapters_own_logits(name, tied, tmp_path):
    base = tiny_checkpoint(tmp_path / "base", tied=tied)
    with torch.inference_mode(False):
        adapter = trained(base, tmp_path / "adapter", **ADAPTERS[name])
        facts = import_model(source(base, adapter=adapter), tmp_path / "out", base, 1)
    expected = PeftModel.from_pretrained(load_model(base), str(adapter)).eval()(IDS_BT).logits
    imported = load_model(tmp_path / "out")
    torch.testing.assert_close(imported(IDS_BT).logits, expected, rtol=1e-5, atol=1e-4)
    assert (load_model(base)(IDS_BT).logits - expected).abs().max() > 0.1
    if name in ("the head", "the embedding", "both"):
        assert imported.config.tie_word_embeddings is False and "lm_head.weight" in load_file(
            tmp_path / "out/model.safetensors"
        )
        assert facts["parameters"] == sum(w.numel() for w in load_file(tmp_path / "out/model.safetensors").values())


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_that_ties_by_itself_is_refused(tmp_path):
    base = tiny_checkpoint(tmp_path / "base", tied=True)
    adapter = trained(base, tmp_path / "adapter", target_modules=["embed_tokens"], ensure_weight_tying=True)
    with pytest.raises(ArtifactError, match="the adapter has unused weights"):
        import_model(source(base, adapter=adapter), tmp_path / "out", base, 1)


def test_a_head_that_differs_from_the_embedding_it_is_said_to_be_tied_to_is_kept(tmp_path):
    base = tiny_checkpoint(tmp_path / "base", tied=True)
    weights = load_file(base / "model.safetensors")
    weights["lm_head.weight"] = torch.randn_like(weights["model.embed_tokens.weight"])
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    import_model(source(base), tmp_path / "out", None, 1)
    assert torch.equal(load_file(tmp_path / "out/model.safetensors")["lm_head.weight"], weights["lm_head.weight"])
    assert torch.equal(load_model(base)(IDS_BT).logits, load_model(tmp_path / "out")(IDS_BT).logits)
