"""What SFT and RL share: checkpoints at equal shares of training, curves, and trainers that say nothing else."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import datasets
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

from rlgen.models import save_checkpoint
from rlgen.progress import Progress

datasets.disable_progress_bars()

# Settings of every TRL trainer here: all artifacts are ours, so the trainer itself saves and reports nothing.
QUIET = {
    "bf16": False,
    "activation_checkpointing": False,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "logging_steps": 1,
    "logging_strategy": "steps",
    "lr_scheduler_type": "constant",
    "num_train_epochs": 1,
    "dataloader_num_workers": 0,
}


def run(trainer: Trainer) -> None:
    """Train without the library's own output: our progress lines say what is going on."""
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    with warnings.catch_warnings():  # TRL 1.16 asks transformers by an old name
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        trainer.train()


def checkpoint_steps(total: int, n: int) -> list[int]:
    """Steps round(i * total / n), i = 1..n (paper section 3). Raises ValueError where two would coincide.

    >>> checkpoint_steps(80, 5)
    [16, 32, 48, 64, 80]
    """
    steps = [round(i * total / n) for i in range(1, n + 1)]
    if len(set(steps)) < n or steps[0] < 1:
        raise ValueError(
            f"{n} checkpoints in {total} training steps fall on steps {steps}, expected distinct steps >= 1"
        )
    return steps


class KeepCheckpoints(TrainerCallback):
    """Saves checkpoint i to `folder(i)` at its step and collects the metrics named in `curves` (log key -> name)."""

    def __init__(
        self, total: int, n: int, folder: Callable[[int], Path], tokenizer, curves: dict[str, str], what: str
    ) -> None:
        self.index_at = {step: i for i, step in enumerate(checkpoint_steps(total, n), start=1)}
        self.folder, self.tokenizer, self.curves = folder, tokenizer, curves
        self.rows: list[dict] = []
        self.progress = Progress(what, total, "steps")

    def on_step_end(self, args, state, control, model=None, **_):
        """Save where a checkpoint is due."""
        self.progress.update(state.global_step)
        if state.global_step in self.index_at:
            folder = self.folder(self.index_at[state.global_step])
            save_checkpoint(model, self.tokenizer, folder)
            print(f"step {state.global_step}: saved {folder}", file=sys.stderr)

    def on_log(self, args, state, control, logs=None, **_):
        """Keep one row per metric and step."""
        for key, metric in self.curves.items():
            if logs and key in logs:
                self.rows.append({"step": state.global_step, "metric": metric, "value": float(logs[key])})
