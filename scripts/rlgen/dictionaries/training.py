"""Training of a sparse crosscoder on aligned shards (docs/method.md, section 4).

Shapes: B rows, S latents, M members, d width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import Field

from rlgen.activations.batches import Waited, ahead, batches
from rlgen.activations.settings import SourcedStream
from rlgen.activations.shards import Shards
from rlgen.compute import start
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.dictionaries.normalisation import statistics
from rlgen.dictionaries.ranks import ALONE, Ranks, join
from rlgen.dictionaries.settings import Recipe
from rlgen.dictionaries.step import Training
from rlgen.progress import Progress
from rlgen.resume import Resume
from rlgen.seeds import stream_seed
from rlgen.strict import Strict

CPU = torch.device("cpu")


class OneDictionary(Strict):
    """What every step on the way to one dictionary obeys."""

    recipe: Recipe
    members: list[str] = Field(min_length=2, description="model states with explicit checkpoints, as 'rl@5'")
    permute_shift: bool = False
    seed: int = Field(ge=0)
    threads: int = Field(ge=1)


class TrainDictionary(OneDictionary):
    """What training one dictionary obeys: the slice that `scripts/dictionaries/train_dictionary.py` receives."""

    held_out_shards: int = Field(ge=1, description="last shards, never trained on")


class TrainWindow(OneDictionary):
    """What training through one window obeys: the slice that `scripts/dictionaries/train_window.py` receives."""

    window: int = Field(ge=1)
    windows: int = Field(ge=1)
    stream: SourcedStream = Field(description="what its shards are of: they are deleted and cannot be compared later")


class FinishDictionary(OneDictionary):
    """The slice that `scripts/dictionaries/finish_dictionary.py` receives."""


@dataclass(frozen=True)
class Place:
    """Where a training runs, whom it tells and what it continues from: no result depends on it but by rounding."""

    device: torch.device = CPU
    progress: Progress | None = None
    resume: Resume = field(default_factory=lambda: Resume(None))
    ranks: Ranks = ALONE

    @classmethod
    def join(cls, threads: int, what: str, steps: int, state: Path | None) -> "Place":
        """This process's place among those that torchrun started. The first tells of `steps` steps of `what`."""
        device = start(threads)
        ranks = join(device)
        return cls(device, Progress(what, steps, "steps") if ranks.first else None, Resume(state), ranks)


HERE = Place()


def train(
    shards: Shards, recipe: Recipe, seed: int, held_out_shards: int, place: Place = HERE
) -> tuple[Crosscoder, list[dict]]:
    """Train one crosscoder on all but the last `held_out_shards` shards.

    Returns it (on the CPU) and its curves: rows {step, metric, value} with metrics loss, l0, fve, dead_share of the
    training batch and learning_rate. On the CPU the same arguments and threads give the same bits, whether the run was
    killed and went on from a state or not. Several processes call it alike and all return the same: `place.ranks`.
    """
    training_shards, _ = shards.split(held_out_shards)
    training = _begun(shards, recipe, seed, place)
    if not _restored(training, place.resume):
        training.normalise(*statistics(shards, training_shards, recipe.normalisation))
    _advance(training, shards, training_shards, recipe.seed(seed), range(recipe.steps), place)
    return finished(training, shards.members), training.curves()


def train_window(
    shards: Shards,
    recipe: Recipe,
    seed: int,
    window: int,
    windows: int,
    before: Resume | None,
    place: Place = HERE,
) -> Training:
    """Train on through window `window` (from 1) of `windows`: an equal share of the steps, on these shards alone.

    `before` holds the state of the run that this function returned for the window before; the first window has none,
    and its rows give mean and scale. Of the state after the last window `finish` makes the dictionary.
    Raises ValueError where `before` does not end at this window's first step.
    """
    training = _begun(shards, recipe, seed, place)
    steps, everything = steps_of(recipe.steps, window, windows), range(shards.n_shards)
    if not _restored(training, place.resume) and not (before and _restored(training, before)):
        if window > 1:
            raise ValueError(f"window {window}: no state of the window before it")
        training.normalise(*statistics(shards, everything, recipe.normalisation))
    if not steps.start <= training.step <= steps.stop:
        raise ValueError(f"window {window}: its steps are {steps}, the state before it ends at {training.step}")
    _advance(training, shards, everything, stream_seed(recipe.seed(seed), "window", window), steps, place)
    return training


def finish(recipe: Recipe, members: list[str], seed: int, state: Resume) -> tuple[Crosscoder, list[dict], str]:
    """The crosscoder that the last window's state holds, its curves, and what made its steps.

    Raises ValueError where the state is not one after all steps.
    """
    found = state.load()
    if found is None or found[1]["step"] != recipe.steps:
        raise ValueError(f"no state after {recipe.steps} steps in {state.folder}")
    width = found[0]["mean_Md"].shape[1]
    training = Training.start(recipe, len(members), width, recipe.seed(seed), CPU)
    training.restore(*found)
    return finished(training, members), training.curves(), found[1]["step_made_by"]


def steps_of(steps: int, window: int, windows: int) -> range:
    """Training steps of window `window` = 1..windows, as equal as whole numbers allow.

    >>> [steps_of(10, w, 3) for w in (1, 2, 3)]
    [range(0, 3), range(3, 7), range(7, 10)]
    """
    return range(round((window - 1) * steps / windows), round(window * steps / windows))


def _begun(shards: Shards, recipe: Recipe, seed: int, place: Place) -> Training:
    return Training.start(recipe, len(shards.members), shards.d, recipe.seed(seed), place.device, place.ranks)


def _restored(training: Training, resume: Resume) -> bool:
    """Whether there was a state to go on from."""
    state = resume.load()
    if state is not None:
        training.restore(*state)
    return state is not None


def _advance(
    training: Training, shards: Shards, indices: Sequence[int], order: int, steps: range, place: Place
) -> None:
    """Train to the end of `steps` on the shards `indices`; `order` seeds the order of their rows."""
    batch_rows, progress = training.recipe.batch_rows, place.progress
    done, part = training.step - steps.start, place.ranks.part(batch_rows)
    raw = batches(shards, batch_rows, order, indices, start=done, part=part)
    rows = Waited(ahead(_ready(rows_BMd, training, place.device) for rows_BMd in raw))
    if progress:
        progress.resume(training.step)
    pace = _Pace(place.device)
    while training.step < steps.stop:
        batch = next(rows).to(place.device, non_blocking=True)
        training.advance(batch if place.device.type == "cpu" else training.normalised(batch))
        pace.keep()
        if progress:
            progress.update(training.step, rows.note(batch_rows))
        if place.ranks.first and place.resume.due():
            place.resume.save(*training.state())


def _ready(rows_BMd: torch.Tensor, training: Training, device: torch.device) -> torch.Tensor:
    """A batch normalised for the CPU; for another device raw, which it normalises many times faster.

    It lies in page-locked memory where a GPU will fetch it without stopping the processor.
    """
    if device.type == "cpu":
        return training.normalised(rows_BMd)
    return rows_BMd.pin_memory() if device.type == "cuda" else rows_BMd


class _Pace:
    """Keeps the processor at most one step ahead of a GPU, without making the GPU wait.

    Otherwise batches pile up on the GPU, and time spent waiting for data says nothing, because all time is.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.last = device, None

    def keep(self) -> None:
        """Call after each step: returns when the GPU has finished the step before it."""
        if self.device.type == "cuda":
            before, self.last = self.last, torch.cuda.Event()
            self.last.record()
            if before:
                before.synchronize()


@torch.no_grad()
def finished(training: Training, members: list[str]) -> Crosscoder:
    """The crosscoder that a training run has reached."""
    parameters = training.parameters
    return Crosscoder(
        members=list(members),
        objective=training.recipe.objective,
        W_enc_MdS=parameters.W_enc_MdS.detach().cpu(),
        b_enc_S=parameters.b_enc_S.detach().cpu(),
        W_dec_SMd=parameters.decoder().detach().cpu(),
        b_dec_Md=parameters.b_dec_Md.detach().expand(len(members), -1).contiguous().cpu(),
        mean_Md=training.mean_Md.cpu(),
        scale_M=training.scale_M.cpu(),
        threshold=None if training.recipe.objective == "l1" else training.threshold.item(),
        free_latents=len(parameters.W_free_FMd),
        exclusive_latents=training.recipe.exclusive_latents,
        bend=None if parameters.bend is None else parameters.bend.trained(),
    )
