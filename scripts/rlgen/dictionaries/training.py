"""Training of a sparse crosscoder on aligned shards (docs/method.md, section 4).

Shapes: B rows, S latents, M members, d width.
"""

from collections.abc import Iterator, Sequence

import torch
from pydantic import Field

from rlgen.activations.batches import Waited, ahead, batches
from rlgen.activations.settings import SourcedStream
from rlgen.activations.shards import Shards
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.dictionaries.normalisation import statistics
from rlgen.dictionaries.ranks import ALONE, Ranks
from rlgen.dictionaries.settings import Recipe
from rlgen.dictionaries.step import Training, step_made_by
from rlgen.progress import Progress
from rlgen.resume import Resume
from rlgen.seeds import stream_seed
from rlgen.strict import Strict

NORMALISATION = ("mean_Md", "scale_M")  # part of a state: computing them again would read the whole harvest


class TrainDictionary(Strict):
    """What training one dictionary obeys: the slice that `scripts/dictionaries/train_dictionary.py` receives."""

    recipe: Recipe
    members: list[str] = Field(min_length=2, description="model states with explicit checkpoints, as 'rl@5'")
    permute_shift: bool = False
    held_out_shards: int = Field(ge=1, description="last shards, never trained on")
    seed: int = Field(ge=0)
    threads: int = Field(ge=1)


class TrainWindow(Strict):
    """What training through one window obeys: the slice that `scripts/dictionaries/train_window.py` receives."""

    recipe: Recipe
    members: list[str] = Field(min_length=2)
    permute_shift: bool = False
    window: int = Field(ge=1)
    windows: int = Field(ge=1)
    stream: SourcedStream = Field(description="what its shards are of: they are deleted and cannot be compared later")
    seed: int = Field(ge=0)
    threads: int = Field(ge=1)


class FinishDictionary(Strict):
    """The slice that `scripts/dictionaries/finish_dictionary.py` receives."""

    recipe: Recipe
    members: list[str] = Field(min_length=2)
    permute_shift: bool = False
    seed: int = Field(ge=0)
    threads: int = Field(ge=1)


def train(
    shards: Shards,
    recipe: Recipe,
    seed: int,
    held_out_shards: int,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    resume: Resume | None = None,
    ranks: Ranks = ALONE,
) -> tuple[Crosscoder, list[dict]]:
    """Train one crosscoder on all but the last `held_out_shards` shards.

    Returns it (on the CPU) and its curves: rows {step, metric, value} with metrics loss, l0, fve, dead_share of the
    training batch and learning_rate. On the CPU the same arguments and threads give the same bits, whether the run was
    killed and went on from `resume` or not. Several processes call it alike and all return the same: `ranks`.
    """
    device, resume = torch.device(device), resume or Resume(None)
    training_shards, _ = shards.split(held_out_shards)
    training = Training.start(recipe, len(shards.members), shards.d, recipe.seed(seed), device, ranks)
    normalisation = _restored(training, resume) or statistics(shards, training_shards, recipe.normalisation)
    steps = range(recipe.steps)
    _advance(training, shards, training_shards, recipe.seed(seed), steps, normalisation, device, progress, resume)
    return finished(training, shards.members, *normalisation), training.curves()


def train_window(
    shards: Shards,
    recipe: Recipe,
    seed: int,
    window: int,
    windows: int,
    before: Resume | None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    resume: Resume | None = None,
    ranks: Ranks = ALONE,
) -> tuple[dict[str, torch.Tensor], dict, list[dict]]:
    """Train on through window `window` (from 1) of `windows`: an equal share of the steps, on these shards alone.

    `before` holds what this function returned for the window before; the first window has none, and its rows give mean
    and scale. Returns the state after the window (tensors, facts), of whose last one `finish` makes the dictionary, and
    the curves so far.
    Raises ValueError where `before` does not end at this window's first step.
    """
    device, resume = torch.device(device), resume or Resume(None)
    training = Training.start(recipe, len(shards.members), shards.d, recipe.seed(seed), device, ranks)
    steps, everything = steps_of(recipe.steps, window, windows), range(shards.n_shards)
    normalisation = _restored(training, resume) or (before and _restored(training, before))
    if normalisation is None:
        if window > 1:
            raise ValueError(f"window {window}: no state of the window before it")
        normalisation = statistics(shards, everything, recipe.normalisation)
    if not steps.start <= training.step <= steps.stop:
        raise ValueError(f"window {window}: its steps are {steps}, the state before it ends at {training.step}")
    order = stream_seed(recipe.seed(seed), "window", window)
    _advance(training, shards, everything, order, steps, normalisation, device, progress, resume)
    tensors, facts = _state(training, normalisation)
    return tensors, facts | {"step_made_by": step_made_by(device, ranks, recipe.alignment)}, training.curves()


def finish(recipe: Recipe, members: list[str], seed: int, state: Resume) -> tuple[Crosscoder, list[dict], str]:
    """The crosscoder that the last window's state holds, its curves, and what made its steps.

    Raises ValueError where the state is not one after all steps.
    """
    found = state.load()
    if found is None or found[1]["step"] != recipe.steps:
        raise ValueError(f"no state after {recipe.steps} steps in {state.folder}")
    width = found[0][NORMALISATION[0]].shape[1]
    training = Training.start(recipe, len(members), width, recipe.seed(seed), torch.device("cpu"), ALONE)
    training.restore(*found)
    normalisation = (found[0][name] for name in NORMALISATION)
    return finished(training, members, *normalisation), training.curves(), found[1]["step_made_by"]


def steps_of(steps: int, window: int, windows: int) -> range:
    """Training steps of window `window` = 1..windows, as equal as whole numbers allow.

    >>> [steps_of(10, w, 3) for w in (1, 2, 3)]
    [range(0, 3), range(3, 7), range(7, 10)]
    """
    return range(round((window - 1) * steps / windows), round(window * steps / windows))


def _advance(
    training: Training,
    shards: Shards,
    indices: Sequence[int],
    order: int,
    steps: range,
    normalisation: tuple[torch.Tensor, torch.Tensor],
    device: torch.device,
    progress: Progress | None,
    resume: Resume,
) -> None:
    """Train to the end of `steps` on the shards `indices`; `order` seeds the order of their rows."""
    recipe, ranks = training.recipe, training.ranks
    done, part = training.step - steps.start, ranks.part(recipe.batch_rows)
    raw = batches(shards, recipe.batch_rows, order, indices, start=done, part=part)
    dtype, there = getattr(torch, recipe.precision), [statistic.to(device) for statistic in normalisation]
    rows = Waited(ahead(_ready(raw, *normalisation, dtype, device)))
    if progress:
        progress.resume(training.step)
    pace = _Pace(device)
    while training.step < steps.stop:
        batch = next(rows).to(device, non_blocking=True)
        training.advance(batch if device.type == "cpu" else _normalised(batch, *there, dtype))
        pace.keep()
        if progress:
            progress.update(training.step, rows.note(recipe.batch_rows))
        if ranks.first and resume.due():
            resume.save(*_state(training, normalisation))


def _state(
    training: Training, normalisation: tuple[torch.Tensor, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], dict]:
    tensors, facts = training.state()
    return tensors | dict(zip(NORMALISATION, normalisation, strict=True)), facts


def _restored(training: Training, resume: Resume) -> tuple[torch.Tensor, torch.Tensor] | None:
    """(mean_Md, scale_M) of the run that `training` goes on with; None where it starts from the beginning."""
    state = resume.load()
    if state is None:
        return None
    training.restore(*state)
    mean_Md, scale_M = (state[0][name] for name in NORMALISATION)
    return mean_Md, scale_M


def _ready(
    batches: Iterator[torch.Tensor],
    mean_Md: torch.Tensor,
    scale_M: torch.Tensor,
    dtype: torch.dtype,
    device: torch.device,
) -> Iterator[torch.Tensor]:
    """Normalised batches for the CPU; for another device raw ones, which it normalises many times faster.

    They lie in page-locked memory where a GPU will fetch them without stopping the processor.
    """
    for rows_BMd in batches:
        if device.type == "cpu":
            yield _normalised(rows_BMd, mean_Md, scale_M, dtype)
        else:
            yield rows_BMd.pin_memory() if device.type == "cuda" else rows_BMd


def _normalised(
    rows_BMd: torch.Tensor, mean_Md: torch.Tensor, scale_M: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """(h - mean) / scale, computed in float32, in the memory of the batch where that has this type."""
    return rows_BMd.float().sub_(mean_Md).div_(scale_M[:, None]).to(dtype)


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
def finished(training: Training, members: list[str], mean_Md: torch.Tensor, scale_M: torch.Tensor) -> Crosscoder:
    """The crosscoder that a training run has reached."""
    parameters = training.parameters
    return Crosscoder(
        members=list(members),
        objective=training.recipe.objective,
        W_enc_MdS=parameters.W_enc_MdS.detach().cpu(),
        b_enc_S=parameters.b_enc_S.detach().cpu(),
        W_dec_SMd=parameters.decoder().detach().cpu(),
        b_dec_Md=parameters.b_dec_Md.detach().expand(len(members), -1).contiguous().cpu(),
        mean_Md=mean_Md,
        scale_M=scale_M,
        threshold=None if training.recipe.objective == "l1" else training.threshold.item(),
        free_latents=len(parameters.W_free_FMd),
    )
