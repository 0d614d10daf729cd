"""On-policy distillation with TRL: on the student's own completions, towards the teacher's next-token distributions.

The divergence is the reverse KL by default (arXiv 2306.13649), summed over the vocabulary at every token. The teacher
may answer under an edit of its stream.
"""

import tempfile
from functools import partial

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl import DistillationConfig, DistillationTrainer

from rlgen.models.fixed_edits import FixedEdit
from rlgen.seeds import stream_seed
from rlgen.training.settings import Distil
from rlgen.training.trainer import KeepCheckpoints, Run, arguments, run
from rlgen.training.under_edits import UnderEdit

CURVES = {"loss": "loss", "completions/mean_length": "completion_length", "entropy": "entropy"}


def train(
    model: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Dataset,
    settings: Distil,
    into: Run,
    edit: FixedEdit | None = None,
) -> list[dict]:
    """Train one epoch on the prompts of `rows` in place; returns rows of (step, metric, value).

    `edit` is what the teacher answers under.
    """
    keep = KeepCheckpoints(
        len(rows) // settings.prompts_per_step, settings.checkpoints, tokenizer, into, "distillation"
    )
    teacher.requires_grad_(False)  # autocast would keep a copy of every weight that asks for a gradient
    with tempfile.TemporaryDirectory() as scratch:
        trainer = (partial(UnderEdit, edit=edit) if edit else DistillationTrainer)(
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
        # TRL 1.16 calls both models beside accelerate's autocast, which would leave their passes in float32 with
        # `bf16`. Logits and the divergence are float32 within it, too.
        trainer.compute_loss = trainer.accelerator.autocast()(trainer.compute_loss)
        return run(trainer, keep, CURVES)
