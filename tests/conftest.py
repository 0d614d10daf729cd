"""Tiny language models shared by the tests; nothing here is trained."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the tests never need a network

import pytest
import torch

from rlgen import testbed
from rlgen.settings.models import Architecture

FAMILIES = ["add", "max", "par"]
TINY = Architecture(hidden_size=32, layers=3, heads=2, head_dim=16, intermediate_size=64)


@pytest.fixture(scope="session")
def tokenizer():
    """The organism's tokenizer over three families."""
    from rlgen.tokenizer import build

    return build(testbed.vocabulary(FAMILIES), testbed.BOS, testbed.EOS, testbed.PAD)


@pytest.fixture(scope="session")
def tiny_model(tokenizer):
    """A random three-block model whose greedy completions differ between prompts (embeddings are enlarged)."""
    from rlgen.pretraining import new_model

    model = new_model(TINY, tokenizer, seed=3).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(6)
    return model
