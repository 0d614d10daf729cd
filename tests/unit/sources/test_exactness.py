"""Models run in parts against their own forward pass: what agrees is taken, and every way to disagree is found."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
)

from rlgen.files import ArtifactError
from rlgen.models import drafts, generation
from rlgen.sources import exactness
from rlgen.sources.exactness import check_exact, differences, small_config, small_model

SIZE = {"hidden_size": 32, "num_hidden_layers": 6, "num_attention_heads": 2, "num_key_value_heads": 1}
LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 8,
    "long_factor": [4.0] * 8,
    "rope_theta": 1e4,
    "original_max_position_embeddings": 4096,
}
EXACT = {
    "llama": LlamaConfig(**SIZE),
    "scaled logits": GraniteConfig(**SIZE, logits_scaling=8.0),
    "multiplied logits": CohereConfig(**SIZE, logit_scale=0.0625),
    "a window": MistralConfig(**SIZE, sliding_window=4096),
    "a window in every block": Qwen2Config(**SIZE, use_sliding_window=True, max_window_layers=0),
}
REFUSED = {
    "scaled on entry": (GraniteConfig(**SIZE, embedding_multiplier=12.0), r"going on from a block's output is not its"),
    "two kinds of block": (
        Qwen2Config(**SIZE, use_sliding_window=True, max_window_layers=3),
        r"blocks of Qwen2ForCausalLM attend in different ways \(full_attention, sliding_attention\)",
    ),
    "positions that depend on the length": (
        Phi3Config(**SIZE, rope_parameters=LONG),
        r"is not its whole forward pass: log-probabilities differ by",
    ),
    "too large": (
        LlamaConfig(**SIZE | {"hidden_size": 2**15, "num_key_value_heads": 2}),
        r"do not run in parts, .* \(4 blocks have .* weights\)",
    ),
}


@pytest.fixture(autouse=True)
def nothing_tried(monkeypatch):
    monkeypatch.setattr(exactness, "_tried", {})


def check(label, config):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    check_exact(label, model)


@pytest.mark.parametrize("name", EXACT)
def test_what_is_exact(name):
    check(name, EXACT[name])
    assert max(differences(small_model(small_config(EXACT[name]))).values()) < 1e-4


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    config, match = REFUSED[name]
    with pytest.raises(ArtifactError, match=rf"^{name}: .*{match}"):
        check(name, config)


def test_the_text_is_longer_than_any_window():
    assert small_config(EXACT["a window"]).sliding_window < min(exactness.PROMPTS)
    assert EXACT["a window"].sliding_window == 4096  # the study's config stays as it is


@pytest.mark.parametrize("name", ["a window", "a window in every block"])
def test_a_window_that_is_not_seen_is_found(name, monkeypatch):
    monkeypatch.setattr(generation, "window_of", lambda config: None)
    found = differences(small_model(small_config(EXACT[name])))
    assert min(found.values()) > 10 * exactness.TOLERANCE


@pytest.mark.parametrize("name", ["scaled logits", "multiplied logits"])
def test_a_head_that_is_taken_for_its_matrix_is_found(name, monkeypatch):
    for module in (drafts, exactness):
        monkeypatch.setattr(module, "output_head", lambda model: model.lm_head)
    found = differences(small_model(small_config(EXACT[name])))
    assert min(found.values()) > 10 * exactness.TOLERANCE


def test_one_text_of_several_may_fall_the_other_way(monkeypatch):
    """A router's tie shows in one text, a fault in all."""
    found = iter([{"way": 0.02}, {"way": 1e-6}, {"way": 0.3}])
    monkeypatch.setattr(exactness, "differences", lambda model, seed: next(found))
    check("it", EXACT["llama"])
    monkeypatch.setattr(exactness, "_tried", {})
    monkeypatch.setattr(exactness, "differences", lambda model, seed: {"way": 0.02 + seed})
    with pytest.raises(ArtifactError, match=r"way is not its whole forward pass: .* differ by 0\.02 nats"):
        check("it", EXACT["llama"])


def test_numbers_that_are_none_are_no_agreement(monkeypatch):
    monkeypatch.setattr(exactness, "differences", lambda model, seed: {"going on": float("nan")})
    with pytest.raises(ArtifactError, match="going on is not its whole forward pass"):
        check("it", EXACT["llama"])


def test_settings_are_tried_once(monkeypatch):
    made = []
    monkeypatch.setattr(exactness, "small_model", lambda c, make=small_model: made.append(c) or make(c))
    for seed in range(3):
        torch.manual_seed(seed)
        check("it", LlamaConfig(**SIZE, vocab_size=100 + seed, eos_token_id=seed))
    check("other", LlamaConfig(**SIZE, rms_norm_eps=1e-5))
    assert len(made) == 2
