"""Tiny language models shared by the tests; nothing here is trained."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the tests never need a network
os.environ["PYTHONPATH"] = str(Path(__file__).parents[1] / "scripts")  # scripts that tests start find this library

import pytest
import torch

from rlgen.organism import families
from rlgen.organism.settings import Architecture

FAMILIES = ["add", "max", "par"]
TINY = Architecture(hidden_size=32, layers=3, heads=2, head_dim=16, intermediate_size=64)


@pytest.fixture(scope="session")
def tokenizer():
    """The organism's tokenizer over three families."""
    from rlgen.organism.tokenizer import build

    return build(families.vocabulary(FAMILIES), families.BOS, families.EOS, families.PAD)


@pytest.fixture(scope="session")
def tiny_model(tokenizer):
    """A random three-block model whose greedy completions differ between prompts (embeddings are enlarged)."""
    from rlgen.organism.pretraining import new_model

    model = new_model(TINY, tokenizer, seed=3).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(6)
    return model
