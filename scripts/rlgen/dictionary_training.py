"""Training of a sparse crosscoder on aligned shards (docs/method.md, section 4).

Shapes: B rows, S latents, M members, d width.
"""

from collections.abc import Iterator

import torch

from rlgen.crosscoder import Crosscoder
from rlgen.dictionary_step import Training
from rlgen.normalisation import statistics
from rlgen.progress import Progress
from rlgen.resume import Resume
from rlgen.ring import Waited, ahead, batches
from rlgen.settings.dictionaries import Recipe
from rlgen.shards import Shards


def train(
    shards: Shards,
    recipe: Recipe,
    seed: int,
    held_out_shards: int,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    resume: Resume | None = None,
) -> tuple[Crosscoder, list[dict]]:
    """Train one crosscoder on all but the last `held_out_shards` shards.

    Returns it (on the CPU) and its curves: rows {step, metric, value} with metrics loss, l0, fve, dead_share of the
    training batch and learning_rate. On the CPU the same arguments and threads give the same bits, whether the run was
    killed and went on from `resume` or not.
    """
    device, resume = torch.device(device), resume or Resume(None)
    training_shards, _ = shards.split(held_out_shards)
    training = Training.start(recipe, len(shards.members), shards.d, seed, device)
    normalisation = _restored(training, resume) or statistics(shards, training_shards, recipe.normalisation)
    raw = batches(shards, recipe.batch_rows, seed, training_shards, start=training.step)
    rows = Waited(ahead(_ready(raw, *normalisation, device)))
    if progress:
        progress.resume(training.step)
    pace = _Pace(device)
    while training.step < recipe.steps:
        training.advance(next(rows).to(device, non_blocking=True))
        pace.keep()
        if progress:
            progress.update(training.step, rows.note(recipe.batch_rows))
        if resume.due():
            tensors, facts = training.state()
            resume.save(tensors | dict(zip(NORMALISATION, normalisation, strict=True)), facts)
    return finished(training, shards.members, *normalisation), training.curves()


NORMALISATION = ("mean_Md", "scale_M")  # part of a state: computing them again would read the whole harvest


def _restored(training: Training, resume: Resume) -> tuple[torch.Tensor, torch.Tensor] | None:
    """(mean_Md, scale_M) of the run that `training` goes on with; None where it starts from the beginning."""
    state = resume.load()
    if state is None:
        return None
    training.restore(*state)
    mean_Md, scale_M = (state[0][name] for name in NORMALISATION)
    return mean_Md, scale_M


def _ready(
    batches: Iterator[torch.Tensor], mean_Md: torch.Tensor, scale_M: torch.Tensor, device: torch.device
) -> Iterator[torch.Tensor]:
    """Normalised batches, in page-locked memory where a GPU will fetch them without stopping the processor."""
    for rows_BMd in batches:
        rows_BMd.sub_(mean_Md).div_(scale_M[:, None])
        yield rows_BMd.pin_memory() if device.type == "cuda" else rows_BMd


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
