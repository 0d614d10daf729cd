"""Training of a sparse crosscoder on aligned shards (docs/method.md, section 4).

Shapes: B rows, S latents, M members, d width.
"""

import torch

from rlgen.crosscoder import Crosscoder
from rlgen.dictionary_step import Training
from rlgen.normalisation import statistics
from rlgen.progress import Progress
from rlgen.settings.dictionaries import Recipe
from rlgen.shards import Shards


def train(
    shards: Shards,
    recipe: Recipe,
    seed: int,
    held_out_shards: int,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> tuple[Crosscoder, list[dict]]:
    """Train one crosscoder on all but the last `held_out_shards` shards.

    Returns it (on the CPU) and its curves: rows {step, metric, value} with metrics loss, l0, fve, dead_share of the
    training batch and learning_rate. On the CPU the same arguments and threads give the same bits.
    """
    training_shards, _ = shards.split(held_out_shards)
    mean_Md, scale_M = statistics(shards, training_shards, recipe.normalisation)
    training = Training.start(recipe, len(shards.members), shards.d, seed, device)
    batches = shards.batches(recipe.batch_rows, seed, training_shards)
    while training.step < recipe.steps:
        training.advance(((next(batches) - mean_Md) / scale_M[:, None]).to(device))
        if progress:
            progress.update(training.step)
    return finished(training, shards.members, mean_Md, scale_M), training.curves()


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
