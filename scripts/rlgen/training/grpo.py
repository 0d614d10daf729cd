"""Reinforcement learning with TRL's GRPO or RLOO; the reward is a right final answer and no more (paper section 3).

As a null the reward may be a coin: what then changes comes from training as such, on samples of one's own.
"""

import tempfile

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOConfig, RLOOConfig

from rlgen.files import ArtifactError
from rlgen.seeds import stream_seed
from rlgen.tasks.answers import Right
from rlgen.training.rollouts import generation, text_of
from rlgen.training.settings import GRPO, RLOO
from rlgen.training.trainer import KeepCheckpoints, Run, arguments, run
from rlgen.training.trimmed import TrimmedGRPOTrainer, TrimmedRLOOTrainer

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


class NeedsSpread(TrainerCallback):
    """Ends a training that cannot learn: where all rewards of every group are equal, every advantage is 0."""

    def __init__(self, name: str, patience: int) -> None:
        self.name, self.patience = name, patience

    def on_log(self, args, state, control, logs=None, **_):
        """Raises ArtifactError where no group of the first `patience` steps has had unequal rewards."""
        told = [log["frac_reward_zero_std"] for log in state.log_history if "frac_reward_zero_std" in log]
        if len(told) == self.patience and min(told) == 1:
            mean = sum(log["reward"] for log in state.log_history if "reward" in log) / len(told)
            raise ArtifactError(
                f"models.{self.name}: in {self.patience} steps all completions of every prompt had the same reward "
                f"(mean {mean:.2f}), expected some that differ; take problems that the parent solves sometimes, "
                "or more rollouts"
            )


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Dataset,
    settings: GRPO | RLOO,
    right: Right,
    into: Run,
) -> list[dict]:
    """Train one epoch on `rows` (`rlgen.training.texts`) in place; returns rows of (step, metric, value).

    A step sees prompts_per_step prompts with `rollouts` completions each. Where several processes train, each asks
    `right` about its own completions.
    """
    total = len(rows) // settings.prompts_per_step
    keep = KeepCheckpoints(total, settings.checkpoints, tokenizer, into, settings.method.upper())
    trainer_of, config_of, own = _library(settings, tokenizer.eos_token_id)
    reward = coin(into.seed) if settings.reward == "random" else outcome(right)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = trainer_of(
            model=model,
            processing_class=tokenizer,
            reward_funcs=reward,
            train_dataset=rows,
            callbacks=[keep, NeedsSpread(into.name, max(1, total // settings.checkpoints))],
            args=config_of(
                **arguments(settings.scale, settings.sequences),
                **own,
                output_dir=scratch,
                use_cpu=not torch.cuda.is_available(),
                seed=stream_seed(into.seed, settings.method) % 2**31,
                learning_rate=settings.learning_rate,
                num_generations=settings.rollouts,
                num_iterations=1,
                max_completion_length=settings.max_new_tokens,
                temperature=settings.temperature,
                beta=settings.beta,
            ),
        )
        return run(trainer, keep, CURVES)


def outcome(right: Right):
    """The reward of TRL's trainers that is 1 for a right final answer, else 0."""

    def outcome_reward(completions: list, answer: list[str], **_) -> list[float]:
        return [float(verdict) for verdict in right([text_of(completion) for completion in completions], answer)]

    return outcome_reward


def coin(seed: int):
    """The reward of TRL's trainers that is 0 or 1 by chance: the same for a place of a step whenever it is asked."""

    def coin_reward(completions: list, trainer_state, **_) -> list[float]:
        step = trainer_state.global_step
        # The first bits of the streams' seeds, which are SHA-256.
        return [float(stream_seed(seed, "coin", step, place) % 2) for place in range(len(completions))]

    return coin_reward


def _library(settings: GRPO | RLOO, end: int) -> tuple[type, type, dict]:
    """TRL's trainer and settings of a method, and what these alone are told."""
    about = generation(settings.scale, settings.sequences, end)
    if settings.method == "grpo":
        return TrimmedGRPOTrainer, GRPOConfig, about | {"loss_type": settings.loss_type}
    about.pop("vllm_importance_sampling_mode", None)  # TRL's RLOO corrects nothing
    return TrimmedRLOOTrainer, RLOOConfig, about
