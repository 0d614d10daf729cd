"""Reinforcement learning with TRL's GRPO; the reward is a right final answer and nothing else (paper section 3)."""

import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

from rlgen.answers import final_answer
from rlgen.checkpoints import QUIET, KeepCheckpoints, run
from rlgen.samples import Example
from rlgen.seeds import stream_seed
from rlgen.settings.models import GRPO

CURVES = {
    "loss": "loss",
    "reward": "reward",
    "completions/mean_length": "completion_length",
    "frac_reward_zero_std": "share_without_spread",
}


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: list[Example],
    settings: GRPO,
    marker: str,
    seed: int,
    output: Path,
    state: Path | None,
    name: str,
) -> list[dict]:
    """Train one epoch in place, save checkpoint{i} to `output`; returns rows of (step, metric, value).

    A step sees prompts_per_step prompts with `rollouts` completions each. What a killed run continues from is kept in
    `state`; `name` is shown in the progress.
    """
    rows = [{"prompt": e.prompt, "answer": e.answer} for e in examples[: settings.prompts]]
    total = len(rows) // settings.prompts_per_step

    def outcome_reward(completions: list[str], answer: list[str], **_) -> list[float]:
        return [float(final_answer(text, marker) == right) for text, right in zip(completions, answer, strict=True)]

    keep = KeepCheckpoints(total, settings.checkpoints, tokenizer, output, state, f"{name}: GRPO")
    with tempfile.TemporaryDirectory() as scratch:
        trainer = GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=outcome_reward,
            train_dataset=Dataset.from_list(rows),
            callbacks=[keep],
            args=GRPOConfig(
                **QUIET,
                output_dir=scratch,
                use_cpu=not torch.cuda.is_available(),
                seed=stream_seed(seed, "grpo") % 2**31,
                learning_rate=settings.learning_rate,
                per_device_train_batch_size=settings.prompts_per_step * settings.rollouts,
                num_generations=settings.rollouts,
                # Every step draws its own completions, so that a state between two steps needs to hold none.
                steps_per_generation=1,
                num_iterations=1,
                max_completion_length=settings.max_new_tokens,
                temperature=settings.temperature,
                beta=settings.beta,
                loss_type=settings.loss_type,
                weight_decay=0.0,
            ),
        )
        return run(trainer, keep, CURVES)
