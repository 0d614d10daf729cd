"""Gates: a sparse set of latents learnt by the effect of exchanging it, as a whole and in both directions.

Every latent of the pool has a hard-concrete gate (Louizos et al. 2018, arXiv 1712.01312), all share one dose, and

    loss = KL(tuned || reference + edit) / KL(tuned || reference)
         + KL(reference || tuned - edit) / KL(reference || tuned) + penalty * expected number of open gates,

each model's text being the one that its copy is forced on. (docs/method.md, section 7.)

Shapes: F latents of the pool.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit

from rlgen.features.exchange import Exchange, Pair
from rlgen.progress import Progress

TEMPERATURE, LOW, HIGH = 2 / 3, -0.1, 1.1  # of the hard-concrete distribution, as published
FIRST_LOG_ODDS = 0.0  # open at first, all gates share a small dose and the wrong ones stay
GATE_RATE, DOSE_RATE = 0.1, 0.02  # of Adam


@dataclass(frozen=True)
class Direction:
    """A model to edit, towards another, and the mean distance of the two unedited, nats."""

    pair: Pair
    exchange: Exchange
    distance: float


@dataclass(frozen=True)
class Gates:
    """Log-odds of every latent's gate, and the dose that was learnt with them."""

    log_odds_F: np.ndarray
    dose: float

    @property
    def open_F(self) -> np.ndarray:
        """Probability that a gate is not shut."""
        return expit(self.log_odds_F - TEMPERATURE * np.log(-LOW / HIGH))


def learn_gates(
    directions: Sequence[Direction],
    samples: Sequence[int],
    penalty: float,
    steps: int,
    samples_per_step: int,
    seed: int,
    dose: float = 1.0,
) -> Gates:
    """Gates over the latents that all directions share. `dose` is where the dose begins."""
    generator = torch.Generator().manual_seed(seed)
    device = directions[0].exchange.direction_Fd.device
    log_odds_F = torch.full((len(directions[0].exchange.pool_F),), FIRST_LOG_ODDS, device=device).requires_grad_()
    log_dose = torch.tensor(float(np.log(dose)), device=device).requires_grad_()
    optimizer = torch.optim.Adam([{"params": [log_odds_F], "lr": GATE_RATE}, {"params": [log_dose], "lr": DOSE_RATE}])
    progress, order = Progress("gates", steps, "steps"), []
    for step in range(steps):
        if len(order) < samples_per_step:
            order += [samples[i] for i in torch.randperm(len(samples), generator=generator).tolist()]
        chosen, order = order[:samples_per_step], order[samples_per_step:]
        gate_F = hard_concrete(log_odds_F, torch.rand(len(log_odds_F), generator=generator).to(device))
        found = [slopes(direction, chosen, gate_F.detach(), log_dose.exp().item()) for direction in directions]
        expected = torch.sigmoid(log_odds_F - TEMPERATURE * np.log(-LOW / HIGH)).sum()
        optimizer.zero_grad()
        torch.autograd.backward(
            [gate_F, log_dose, penalty * expected], [sum(f[1] for f in found), sum(f[2] for f in found), None]
        )
        optimizer.step()
        progress.update(step + 1, f", loss {sum(f[0] for f in found):.3f}, {expected.item():.1f} open")
    return Gates(log_odds_F.detach().cpu().double().numpy(), log_dose.exp().item())


def hard_concrete(log_odds_F: torch.Tensor, uniform_F: torch.Tensor) -> torch.Tensor:
    """A gate per latent in [0, 1], 0 and 1 included, drawn by uniform numbers and differentiable by the log-odds."""
    noise_F = torch.logit(uniform_F, eps=1e-6)
    return (torch.sigmoid((noise_F + log_odds_F) / TEMPERATURE) * (HIGH - LOW) + LOW).clamp(0, 1)


def slopes(
    direction: Direction, samples: Sequence[int], gate_F: torch.Tensor, dose: float
) -> tuple[float, torch.Tensor, torch.Tensor]:
    """Mean KL of some samples over the unedited distance, and its slopes by the gates and by the log of the dose."""
    exchange, kl, pull_F = direction.exchange, 0.0, torch.zeros_like(gate_F)
    for batch in direction.pair.batches(samples, 1):
        scale_1B = torch.full((1, len(batch)), dose, dtype=gate_F.dtype, device=gate_F.device)
        outcome = direction.pair.run(batch, exchange, gate_F, scale_1B, slopes=True)
        pull_F += exchange.pull(outcome.h_Nd, outcome.slope_WNd[0], torch.zeros_like(outcome.row_N), 1)[0]
        kl += float(outcome.kl_WB.sum())
    share = 1 / (len(samples) * direction.distance)
    return kl * share, dose * share * pull_F, dose * share * (pull_F * gate_F).sum()
