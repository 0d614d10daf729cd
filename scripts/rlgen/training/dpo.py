"""Direct preference optimisation with TRL on pairs of solutions (arXiv 2305.18290)."""

import tempfile

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

from rlgen.seeds import stream_seed
from rlgen.training.settings import DPO
from rlgen.training.trainer import KeepCheckpoints, Run, arguments, run

CURVES = {
    "loss": "loss",
    "rewards/accuracies": "preferred_share",  # pairs whose chosen side has become likelier, relative to the parent
    "rewards/margins": "margin",
    "logps/chosen": "logprob_chosen",
    "logps/rejected": "logprob_rejected",
}


def train(
    model: PreTrainedModel,
    parent: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Dataset,
    settings: DPO,
    into: Run,
) -> list[dict]:
    """Train one epoch on `rows` (prompt, chosen, rejected) in place, held to `parent`; rows of (step, metric, value).

    `parent` is a second copy of the model as it was before: a killed run continues with another one.
    """
    keep = KeepCheckpoints(len(rows) // settings.batch_size, settings.checkpoints, tokenizer, into, "DPO")
    with tempfile.TemporaryDirectory() as scratch:
        trainer = DPOTrainer(
            model=model,
            ref_model=parent,
            processing_class=tokenizer,
            train_dataset=rows,
            callbacks=[keep],
            args=DPOConfig(
                **arguments(settings.scale, settings.batch_size),
                output_dir=scratch,
                use_cpu=not torch.cuda.is_available(),
                seed=stream_seed(into.seed, "dpo") % 2**31,
                learning_rate=settings.learning_rate,
                beta=settings.beta,
                max_length=None,  # what is too long was left out or refused before
            ),
        )
        return run(trainer, keep, CURVES)
