"""The logit lens against a model's last steps, written out."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3Config

from rlgen.site.lens import DIFFERENCE, TOKENS, lens, lens_of, lens_rows

V, D = 50, 32
CONFIG = Qwen3Config(
    vocab_size=V,
    hidden_size=D,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=16,
    intermediate_size=64,
    pad_token_id=None,
    bos_token_id=None,
    eos_token_id=None,
)


def model_of(seed: int):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(CONFIG).eval()
    with torch.no_grad():
        model.model.norm.weight.uniform_(0.5, 2)
    return model


def by_hand(model, row_d: torch.Tensor) -> np.ndarray:
    """Logits above their mean: unembedding times the row over its root mean square, times the norm's weights."""
    row_d, weight_d, head_Vd = (
        x.detach().double().numpy() for x in (row_d, model.model.norm.weight, model.lm_head.weight)
    )
    logit_V = head_Vd @ (weight_d * row_d / np.sqrt((row_d**2).mean() + CONFIG.rms_norm_eps))
    return logit_V - logit_V.mean()


def check(found, of: str, latent: int, logit_V: np.ndarray) -> None:
    for side, order in (("promoted", np.argsort(-logit_V)), ("suppressed", np.argsort(logit_V))):
        rows = found[(found["of"] == of) & (found["latent"] == latent) & (found["side"] == side)]
        assert rows["rank"].tolist() == list(range(1, TOKENS + 1))
        assert rows["token"].tolist() == [f"t{i}" for i in order[:TOKENS]]
        np.testing.assert_allclose(rows["logit"], logit_V[order[:TOKENS]], rtol=1e-4)


def test_tokens_are_those_of_the_final_norm_and_the_unembedding():
    model, rows_Ld = model_of(0), torch.randn(3, D, generator=torch.Generator().manual_seed(1))
    logit_LV = [by_hand(model, row_d) for row_d in rows_Ld]
    found = lens_rows(lens_of(model, torch.device("cpu")), "m", rows_Ld, [4, 7, 9], lambda token: f"t{token}")
    for latent, logit_V in zip([4, 7, 9], logit_LV, strict=True):
        check(found, "m", latent, logit_V)
    again = lens_rows(lens_of(model, torch.device("cpu")), "m", 3 * rows_Ld, [4, 7, 9], lambda token: f"t{token}")
    assert again["logit"].tolist() == pytest.approx(found["logit"].tolist(), rel=1e-4)  # a row's length says nothing


def test_every_member_reads_its_own_row_and_the_last_one_the_difference(tmp_path):
    models = [model_of(0), model_of(1)]
    for m, model in enumerate(models):
        model.save_pretrained(tmp_path / str(m))
    raw_SMd = torch.randn(5, 2, D, generator=torch.Generator().manual_seed(2))
    found = lens([tmp_path / "0", tmp_path / "1"], ["a@1", "b@1"], raw_SMd, [1, 3], lambda token: f"t{token}")
    assert set(found["latent"]) == {1, 3} and len(found) == 2 * 3 * 2 * TOKENS
    for latent in (1, 3):
        check(found, "a@1", latent, by_hand(models[0], raw_SMd[latent, 0]))
        check(found, "b@1", latent, by_hand(models[1], raw_SMd[latent, 1]))
        check(found, DIFFERENCE, latent, by_hand(models[1], raw_SMd[latent, 1] - raw_SMd[latent, 0]))


def test_no_latents_give_no_rows(tmp_path):
    model_of(0).save_pretrained(tmp_path)
    assert lens([tmp_path], ["a@1"], torch.zeros(2, 1, D), [], str).empty
