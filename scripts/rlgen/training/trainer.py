"""What SFT and RL share: checkpoints at equal shares of training, curves, and trainers that say nothing else.

Several processes may train one model together (`rlgen.training.processes`): the first one writes, all of them take part
in gathering what it writes.
"""

import sys
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import datasets
import torch
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

from rlgen.files import ArtifactError
from rlgen.models.checkpoints import save_checkpoint
from rlgen.progress import Progress
from rlgen.training import processes
from rlgen.training.settings import Scale
from rlgen.training.states import TrainerStates

datasets.disable_progress_bars()


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


@dataclass(frozen=True)
class Run:
    """A training: its seed, its name in the progress, and where its results go.

    `state` is what a killed run continues from. `dtype` is that of the saved weights, the parent's: the trainer's own
    states hold them as they are trained.
    """

    name: str
    seed: int
    output: Path
    state: Path | None
    dtype: torch.dtype


class KeepCheckpoints(TrainerCallback):
    """Saves checkpoint i at its step: to the output, or first to the state's folder, where it survives a kill."""

    def __init__(self, total: int, n: int, tokenizer, into: Run, method: str) -> None:
        self.total, self.index_at = total, {step: i for i, step in enumerate(checkpoint_steps(total, n), start=1)}
        self.tokenizer, self.output, self.dtype = tokenizer, into.output, into.dtype
        self.states, self.progress = TrainerStates(into.state), Progress(f"{into.name}: {method}", total, "steps")
        self.accelerator = None  # the trainer's, once it has one

    def on_train_begin(self, args, state, control, **_):
        """Say where a killed run goes on; rates are those of this process."""
        if state.max_steps != self.total:
            raise RuntimeError(f"the trainer is about to take {state.max_steps} steps, expected {self.total}")
        self.progress.resume(state.global_step)
        if state.global_step:
            self._say(f"continuing from step {state.global_step}")

    def on_step_end(self, args, state, control, model=None, **_):
        """Save where a checkpoint is due; have the trainer keep a state where it is time."""
        if processes.first():
            self.progress.update(state.global_step)
        if state.global_step in self.index_at:
            self._save(model, state.global_step)
        control.should_save = self.states.due()

    def on_save(self, args, state, control, **_):
        """Once is enough: at the end of the epoch the trainer would save the last step again."""
        control.should_save = False

    def _save(self, model, step: int) -> None:
        """Write a checkpoint. What several processes hold a part of each is gathered first, which takes all of them."""
        weights = self.accelerator.get_state_dict(model) if self.accelerator.is_fsdp2 else None
        if not processes.first():
            return
        name = f"checkpoint{self.index_at[step]}"
        try:
            place = self._write(model, name, weights)
        except ArtifactError as error:
            if not self.states.open:
                raise
            self.states.give_up(error)
            place = self._write(model, name, weights)
        self.states.finish(name)
        self._say(f"step {step}: saved {place}")

    def _write(self, model, name: str, weights: dict[str, torch.Tensor] | None) -> Path:
        place = (self.states.folder if self.states.open else self.output) / name
        save_checkpoint(model, self.tokenizer, place, self.dtype, weights)
        return place

    def _say(self, text: str) -> None:
        if processes.first():
            print(text, file=sys.stderr)


def run(trainer: Trainer, keep: KeepCheckpoints, curves: dict[str, str]) -> list[dict]:
    """Train from the last state on, checkpoints into the output folder; returns rows of (step, metric, value).

    `curves` maps keys of the trainer's log to names of metrics. Without the library's own output: our progress lines
    say what is going on. TRL's way of saving would write a model card besides, and a full disk would end training.
    """
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer._save_checkpoint = partial(keep.states.save, trainer)
    keep.accelerator = trainer.accelerator
    trainer._issue_warnings_after_load = lambda _: None  # tied weights are kept once and would be called missing
    with warnings.catch_warnings():  # TRL 1.16 asks transformers by old names
        old = r"`(is_gradient_checkpointing|gradient_checkpointing_(en|dis)able)` is deprecated"
        warnings.filterwarnings("ignore", message=old, category=FutureWarning)
        trainer.train(resume_from_checkpoint=keep.states.newest())
    if processes.first():
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


def arguments(scale: Scale | None, sequences: int) -> dict:
    """Keyword arguments for SFTConfig or GRPOConfig of steps over `sequences` sequences.

    Precision: the models are loaded in float32, and so are the weights that the optimiser changes. With `bf16` the
    trainer computes in bfloat16: one process by autocast; several by FSDP's mixed precision, which gathers bfloat16
    copies of the weights and adds up gradients in bfloat16 between processes (accelerate, `set_mixed_precision`).
    """
    if scale is None:
        return QUIET | {"per_device_train_batch_size": sequences, "weight_decay": 0.0}
    return QUIET | {
        "bf16": scale.precision == "bf16",
        "activation_checkpointing": scale.gradient_checkpointing,
        "lr_scheduler_type": scale.schedule,
        "warmup_steps": scale.warmup_share,  # below 1 it is a share of all steps
        "per_device_train_batch_size": scale.per_device_batch,
        "gradient_accumulation_steps": scale.accumulation(sequences),
        "adam_beta1": scale.betas[0],
        "adam_beta2": scale.betas[1],
        "weight_decay": scale.weight_decay,
        "max_grad_norm": scale.clip,
    }
