"""Supervised fine-tuning with TRL on the teacher's completions, loss on the completion only (paper section 3)."""

import tempfile
from functools import partial

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from rlgen.models.fixed_edits import FixedEdit
from rlgen.seeds import stream_seed
from rlgen.training.settings import SFT
from rlgen.training.trainer import KeepCheckpoints, Run, arguments, run
from rlgen.training.under_edits import Held

CURVES = {"loss": "loss", "mean_token_accuracy": "token_accuracy", "held": "held"}
Holding = tuple[FixedEdit, PreTrainedModel]  # what must not change, and the model in which it is read


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Dataset,
    settings: SFT,
    into: Run,
    holding: Holding | None = None,
) -> list[dict]:
    """Train one epoch on `rows` (`rlgen.training.texts`) in place; returns rows of (step, metric, value)."""
    trainer_of = SFTTrainer
    if holding:
        trainer_of = partial(Held, edit=holding[0], parent=holding[1], weight=settings.holds.weight)
    keep = KeepCheckpoints(len(rows) // settings.batch_size, settings.checkpoints, tokenizer, into, "SFT")
    with tempfile.TemporaryDirectory() as scratch:
        trainer = trainer_of(
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
