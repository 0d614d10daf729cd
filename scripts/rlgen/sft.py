"""Supervised fine-tuning with TRL on the teacher's completions, loss on the completion only (paper section 3)."""

import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from rlgen.checkpoints import QUIET, KeepCheckpoints, run
from rlgen.samples import Example
from rlgen.seeds import stream_seed
from rlgen.settings.models import SFT

CURVES = {"loss": "loss", "mean_token_accuracy": "token_accuracy"}


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: list[Example],
    settings: SFT,
    seed: int,
    output: Path,
    state: Path | None,
    name: str,
) -> list[dict]:
    """Train one epoch in place, save checkpoint{i} to `output`; returns rows of (step, metric, value).

    What a killed run continues from is kept in `state`; `name` is shown in the progress.
    """
    rows = [{"prompt": e.prompt, "completion": f" {e.completion}"} for e in examples[: settings.examples]]
    total = len(rows) // settings.batch_size
    keep = KeepCheckpoints(total, settings.checkpoints, tokenizer, output, state, f"{name}: SFT")
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SFTTrainer(
            model=model,
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(rows),
            callbacks=[keep],
            args=SFTConfig(
                **QUIET,
                output_dir=scratch,
                use_cpu=not torch.cuda.is_available(),
                seed=stream_seed(seed, "sft") % 2**31,
                learning_rate=settings.learning_rate,
                per_device_train_batch_size=settings.batch_size,
                weight_decay=0.0,
                max_length=None,
                completion_only_loss=True,
            ),
        )
        return run(trainer, keep, CURVES)
