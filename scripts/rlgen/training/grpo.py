"""Reinforcement learning with TRL's GRPO; the reward is a right final answer and nothing else (paper section 3)."""

import tempfile

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl import GRPOConfig

from rlgen.seeds import stream_seed
from rlgen.tasks.answers import Right
from rlgen.training.rollouts import generation, text_of
from rlgen.training.settings import GRPO
from rlgen.training.trainer import KeepCheckpoints, Run, arguments, run
from rlgen.training.trimmed import TrimmedGRPOTrainer

CURVES = {
    "loss": "loss",
    "reward": "reward",
    "completions/mean_length": "completion_length",
    "frac_reward_zero_std": "share_without_spread",
    # The trainer's probability of a token over vLLM's, after truncation; of completions that vLLM wrote only.
    "sampling/importance_sampling_ratio/mean": "importance_ratio",
    "sampling/importance_sampling_ratio/min": "importance_ratio_min",
    "sampling/importance_sampling_ratio/max": "importance_ratio_max",
}


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Dataset,
    settings: GRPO,
    right: Right,
    into: Run,
) -> list[dict]:
    """Train one epoch on `rows` (`rlgen.training.texts`) in place; returns rows of (step, metric, value).

    A step sees prompts_per_step prompts with `rollouts` completions each. Where several processes train, each asks
    `right` about its own completions.
    """

    def outcome_reward(completions: list, answer: list[str], **_) -> list[float]:
        return [float(verdict) for verdict in right([text_of(completion) for completion in completions], answer)]

    sequences = settings.prompts_per_step * settings.rollouts
    keep = KeepCheckpoints(len(rows) // settings.prompts_per_step, settings.checkpoints, tokenizer, into, "GRPO")
    with tempfile.TemporaryDirectory() as scratch:
        trainer = TrimmedGRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=outcome_reward,
            train_dataset=rows,
            callbacks=[keep],
            args=GRPOConfig(
                **arguments(settings.scale, sequences),
                **generation(settings.scale, sequences, tokenizer.eos_token_id),
                output_dir=scratch,
                use_cpu=not torch.cuda.is_available(),
                seed=stream_seed(into.seed, "grpo") % 2**31,
                learning_rate=settings.learning_rate,
                num_generations=settings.rollouts,
                num_iterations=1,
                max_completion_length=settings.max_new_tokens,
                temperature=settings.temperature,
                beta=settings.beta,
                loss_type=settings.loss_type,
            ),
        )
        return run(trainer, keep, CURVES)
