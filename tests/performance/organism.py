"""What several benchmarks run on: the default study's small model, trained for a moment, and texts of its families."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.activations.settings import OrganismStream
from rlgen.activations.stream import TokenStream, assemble
from rlgen.models.checkpoints import save_checkpoint
from rlgen.organism import families, tokenizer
from rlgen.organism.pretraining import new_model, train
from rlgen.organism.settings import Architecture, OrganismData, Pretrain
from rlgen.organism.stream import document_sequences
from rlgen.progress import Progress
from rlgen.resume import Resume

DATA = OrganismData(families=list(families.FAMILIES))
LAYER = 1
STEPS = 150  # enough for completions that end by themselves


@cache
def words() -> PreTrainedTokenizerFast:
    """The tokenizer over all families."""
    return tokenizer.build(families.vocabulary(DATA.families), families.BOS, families.EOS, families.PAD)


@cache
def model() -> PreTrainedModel:
    """A model of the default study's size that has seen a few documents."""
    found, settings = new_model(Architecture(), words(), 0), Pretrain(steps=STEPS)
    progress = Progress("pretrain for the benchmark", STEPS, "steps")
    train(found, words(), settings, DATA, "benchmark", 0, progress, Resume(None))
    return found.eval()


def token_stream(rows: int) -> TokenStream:
    """Documents that hold at least so many rows."""
    rng = np.random.default_rng(0)
    sequences = document_sequences(
        words(), DATA, OrganismStream(sampled_models=[], layer=LAYER), "benchmark", rows, rng
    )
    return assemble(sequences, words().pad_token_id, rng)


def bridge(of: PreTrainedModel) -> torch.nn.Module:
    """The same weights in transformer_lens."""
    from transformer_lens.model_bridge import TransformerBridge

    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(of, words(), Path(folder))
        return TransformerBridge.boot_transformers(folder, device="cpu")
