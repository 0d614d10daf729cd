"""On-policy distillation with TRL: on the student's own completions, towards the teacher's next-token distributions.

The divergence is the reverse KL by default (arXiv 2306.13649), summed over the vocabulary at every token.
"""

import tempfile

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl import DistillationConfig, DistillationTrainer

from rlgen.seeds import stream_seed
from rlgen.training.settings import Distil
from rlgen.training.trainer import KeepCheckpoints, Run, arguments, run

CURVES = {"loss": "loss", "completions/mean_length": "completion_length", "entropy": "entropy"}


def train(
    model: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Dataset,
    settings: Distil,
    into: Run,
) -> list[dict]:
    """Train one epoch on the prompts of `rows` in place; returns rows of (step, metric, value)."""
    keep = KeepCheckpoints(
        len(rows) // settings.prompts_per_step, settings.checkpoints, tokenizer, into, "distillation"
    )
    with tempfile.TemporaryDirectory() as scratch:
        trainer = DistillationTrainer(
            model=model,
            teacher_model=teacher,
            processing_class=tokenizer,
            train_dataset=rows,
            callbacks=[keep],
            args=DistillationConfig(
                **arguments(settings.scale, settings.sequences),
                output_dir=scratch,
                use_cpu=not torch.cuda.is_available(),
                seed=stream_seed(into.seed, "distil") % 2**31,
                learning_rate=settings.learning_rate,
                max_completion_length=settings.max_new_tokens,
                temperature=settings.temperature,
                beta=settings.beta,
            ),
        )
        return run(trainer, keep, CURVES)
