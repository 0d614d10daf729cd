"""What SFT and RL share: checkpoints at equal shares of training, curves, and trainers that say nothing else."""

import sys
import warnings
from functools import partial
from pathlib import Path

import datasets
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

from rlgen.files import ArtifactError
from rlgen.models import save_checkpoint
from rlgen.progress import Progress
from rlgen.trainer_states import TrainerStates

datasets.disable_progress_bars()

# Settings of every TRL trainer here: all artifacts are ours, so the trainer itself reports nothing and saves on demand.
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
    """Saves checkpoint i at its step: to `output`, or first to `state`, where it survives a kill."""

    def __init__(self, total: int, n: int, tokenizer, output: Path, state: Path | None, what: str) -> None:
        self.index_at = {step: i for i, step in enumerate(checkpoint_steps(total, n), start=1)}
        self.tokenizer, self.output, self.states = tokenizer, output, TrainerStates(state)
        self.progress = Progress(what, total, "steps")

    def on_train_begin(self, args, state, control, **_):
        """Say where a killed run goes on; rates are those of this process."""
        self.progress.resume(state.global_step)
        if state.global_step:
            print(f"continuing from step {state.global_step}", file=sys.stderr)

    def on_step_end(self, args, state, control, model=None, **_):
        """Save where a checkpoint is due; have the trainer keep a state where it is time."""
        self.progress.update(state.global_step)
        if state.global_step in self.index_at:
            self._save(model, state.global_step)
        control.should_save = self.states.due()

    def on_save(self, args, state, control, **_):
        """Once is enough: at the end of the epoch the trainer would save the last step again."""
        control.should_save = False

    def _save(self, model, step: int) -> None:
        name = f"checkpoint{self.index_at[step]}"
        place = (self.states.folder if self.states.open else self.output) / name
        try:
            save_checkpoint(model, self.tokenizer, place)
        except ArtifactError as error:
            if not self.states.open:
                raise
            self.states.give_up(error)
            return self._save(model, step)
        self.states.finish(name)
        print(f"step {step}: saved {place}", file=sys.stderr)


def run(trainer: Trainer, keep: KeepCheckpoints, curves: dict[str, str]) -> list[dict]:
    """Train from the last state on, checkpoints into the output folder; returns rows of (step, metric, value).

    `curves` maps keys of the trainer's log to names of metrics. Without the library's own output: our progress lines
    say what is going on. TRL's way of saving would write a model card besides, and a full disk would end training.
    """
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer._save_checkpoint = partial(keep.states.save, trainer)
    trainer._issue_warnings_after_load = lambda _: None  # tied weights are kept once and would be called missing
    with warnings.catch_warnings():  # TRL 1.16 asks transformers by an old name
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        trainer.train(resume_from_checkpoint=keep.states.newest())
    keep.states.deliver(keep.output)
    return curve_rows(trainer.state.log_history, curves)


def curve_rows(history: list[dict], curves: dict[str, str]) -> list[dict]:
    """One row per metric and step of a trainer's log, which is part of its states and so survives a kill."""
    return [
        {"step": logs["step"], "metric": metric, "value": float(logs[key])}
        for logs in history
        for key, metric in curves.items()
        if key in logs
    ]
