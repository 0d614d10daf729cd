"""One step of a sparse crosscoder as torch operations: on GPUs, and on CPUs without a compiler.

In float64 it is also what the compiled step is tested against. Products are made in the rows' type and everything
else in the parameters': bfloat16 rows give products in bfloat16 with float32 weights, losses and moments. Nothing is
copied from the device.

Shapes: B rows, S latents, M members, d width, D dead latents.
"""

from functools import partial

import torch
from torch.optim.adam import adam

from rlgen.dictionaries.objectives import (
    alignment_loss,
    auxiliary_loss,
    batchtopk,
    l1_penalty,
    latent_norms,
    reconstruction_loss,
)
from rlgen.dictionaries.parameters import BETA1, BETA2, EPS, Moments, Outcome, Parameters
from rlgen.dictionaries.ranks import ALONE, Ranks
from rlgen.dictionaries.settings import Recipe


class PlainStep:
    """Gradients by autograd, of one batch whose rows may lie with several processes."""

    def __init__(self, recipe: Recipe, parameters: Parameters, moments: Moments, ranks: Ranks = ALONE) -> None:
        self.recipe, self.parameters, self.moments, self.ranks = recipe, parameters, moments, ranks

    def advance(self, rows_BMd: torch.Tensor, step: int, rate: float, l1: float, dead_D: torch.Tensor) -> Outcome:
        """Step number `step` (from 0) of Adam with learning rate `rate` and lambda `l1`."""
        outcome = self.losses(rows_BMd, l1, dead_D)
        trained = {name: p for name, p in self.parameters.named_parameters() if p.numel()}
        gradients = torch.autograd.grad(outcome.loss, list(trained.values()))
        self.ranks.sum(*gradients)
        first, second = zip(*(self.moments[name] for name in trained), strict=True)
        counts = [torch.full((), float(step), device=rows_BMd.device) for _ in trained]
        constants = {"beta1": BETA1, "beta2": BETA2, "eps": EPS, "weight_decay": 0, "amsgrad": False, "maximize": False}
        with torch.no_grad():
            adam(
                list(trained.values()),
                list(gradients),
                list(first),
                list(second),
                [],
                counts,
                fused=True,
                lr=rate,
                **constants,
            )
        outcome.loss = outcome.loss.detach()
        return self.ranks.sum_outcome(outcome)

    def losses(self, rows_BMd: torch.Tensor, l1: float, dead_D: torch.Tensor) -> Outcome:
        """The loss to minimise, with its graph, and what else there is to tell: of these rows, per row of the batch."""
        recipe, parameters, W_dec_SMd = self.recipe, self.parameters, self.parameters.decoder()
        norms_S, own = latent_norms(W_dec_SMd), W_dec_SMd.dtype
        B = self.ranks.rows(len(rows_BMd), recipe.batch_rows)
        pre_BS = rows_BMd.flatten(1) @ parameters.encoder().flatten(1).T.to(rows_BMd.dtype)
        pre_BS = pre_BS.to(own) + parameters.b_enc_S
        if parameters.bend is not None:
            pre_BS = pre_BS + parameters.bend(rows_BMd.flatten(1))
        if recipe.objective == "l1":
            z_BS, cut = pre_BS.relu(), torch.zeros_like(norms_S[0])
        else:
            cut_of = partial(self.ranks.kth_largest, k=B * recipe.k)
            z_BS, cut = batchtopk(pre_BS, norms_S.detach(), recipe.k, cut_of)
        made_BMd = z_BS.to(rows_BMd.dtype) @ W_dec_SMd.flatten(1).to(rows_BMd.dtype)
        made_BMd = made_BMd.to(own).view(rows_BMd.shape) + parameters.b_dec_Md
        reconstruction = reconstruction_loss(rows_BMd.to(own), made_BMd)
        weights = (recipe.alignment_mse, recipe.alignment_temperature)
        loss = alignment_loss(recipe.alignment, rows_BMd.to(own), made_BMd, *weights)
        if recipe.objective == "l1":
            loss = loss + l1 * l1_penalty(z_BS, norms_S)
        elif len(dead_D):
            residual_BMd = rows_BMd - made_BMd.detach()
            dead = (pre_BS.index_select(1, dead_D), W_dec_SMd.index_select(0, dead_D).to(rows_BMd.dtype))
            loss = loss + recipe.aux_coefficient * auxiliary_loss(residual_BMd, *dead, recipe.aux_k)
        z_BS, share = z_BS.detach(), len(rows_BMd) / B
        return Outcome(loss * share, reconstruction.detach() * share, (z_BS > 0).sum(), cut, z_BS.amax(0) > 0)
