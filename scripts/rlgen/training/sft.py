"""Supervised fine-tuning with TRL on the teacher's completions, loss on the completion only (paper section 3)."""

import tempfile

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from rlgen.seeds import stream_seed
from rlgen.training.settings import SFT
from rlgen.training.trainer import KeepCheckpoints, Run, arguments, run

CURVES = {"loss": "loss", "mean_token_accuracy": "token_accuracy"}


def train(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: Dataset, settings: SFT, into: Run
) -> list[dict]:
    """Train one epoch on `rows` (`rlgen.training.texts`) in place; returns rows of (step, metric, value)."""
    keep = KeepCheckpoints(len(rows) // settings.batch_size, settings.checkpoints, tokenizer, into, "SFT")
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SFTTrainer(
            model=model,
            processing_class=tokenizer,
            train_dataset=rows,
            callbacks=[keep],
            args=SFTConfig(
                **arguments(settings.scale, settings.batch_size),
                output_dir=scratch,
                use_cpu=not torch.cuda.is_available(),
                seed=stream_seed(into.seed, "sft") % 2**31,
                learning_rate=settings.learning_rate,
                max_length=None,  # what is too long was left out or refused before
                completion_only_loss=True,
            ),
        )
        return run(trainer, keep, CURVES)
