"""Elimination: the few latents whose exchange does most together, by attribution again and again.

Attribution along the path of all latents ranks each beside all others, most of which the set will not have. So the
weakest leave a few at a time, and what is left is attributed anew, along its own path to its own dose: the latents
that stand in for those that left move up. (docs/method.md, section 7.)

Shapes: I samples, D doses, F latents of the pool.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from rlgen.features.attribution import attribute, dose_curve
from rlgen.features.exchange import Exchange, Pair
from rlgen.features.mediation import positive_shares
from rlgen.progress import Progress

FIRST_CUT, KEPT = 6, 0.75  # a first round leaves six times the set's size, each further one three quarters
NEIGHBOURS = (0.8, 1.0, 1.25)  # after the first round a task's dose is looked for beside the last one


def rounds(pool: int, count: int) -> list[int]:
    """Sizes that the pool shrinks to, one after the other, down to `count`.

    >>> rounds(150, 16), rounds(20, 16), rounds(10, 16)
    ([96, 72, 54, 40, 30, 22, 16], [16], [])
    """
    sizes = [min(pool, FIRST_CUT * count)] if pool > count else []
    while sizes and sizes[-1] > count:
        sizes.append(max(count, int(KEPT * sizes[-1])))
    return [size for size in sizes if size < pool]


def eliminate(
    pair: Pair, exchange: Exchange, tasks: Sequence[Sequence[int]], doses: Sequence[float], count: int
) -> tuple[NDArray[np.intp], dict[int, float]]:
    """The pool's latents in the order of their staying, the `count` that stay to the end first, and the last doses.

    `tasks` holds the samples of every task; tasks count alike, by their scores as shares of the positive sum. Among
    latents that leave in one round, the higher score comes first. Doses are those of each task (by its place).
    """
    order, pool_F = [], exchange.pool_F
    dose_of = dict.fromkeys(range(len(tasks)), 1.0)
    sizes = [*rounds(len(pool_F), count), 0]
    progress = Progress("elimination", len(sizes), "rounds")
    for number, size in enumerate(sizes):
        part = Exchange(exchange.crosscoder, exchange.running, exchange.readout, pool_F)
        dose_of = {
            t: best_dose(pair, part, samples, doses if number == 0 else [n * dose_of[t] for n in NEIGHBOURS])
            for t, samples in enumerate(tasks)
        }
        score_F = mean_share(pair, part, tasks, dose_of)
        ranked_F = torch.from_numpy(np.argsort(-score_F, kind="stable")).to(pool_F.device)
        order, pool_F = [*pool_F[ranked_F[size:]].tolist(), *order], pool_F[ranked_F[:size].sort().values]
        progress.update(number + 1)
    return np.array(order, dtype=np.intp), dose_of


def best_dose(pair: Pair, exchange: Exchange, samples: Sequence[int], doses: Sequence[float]) -> float:
    """The dose of exchanging the whole pool that comes closest to the goal on these samples."""
    return float(doses[int(dose_curve(pair, exchange, samples, doses).mean(0).argmin())])


def mean_share(
    pair: Pair, exchange: Exchange, tasks: Sequence[Sequence[int]], dose_of: dict[int, float]
) -> NDArray[np.float64]:
    """Attributions of the tasks as shares of their positive sums, averaged over tasks (F,)."""
    everyone_F = np.ones(len(exchange.pool_F), dtype=bool)
    doses = {i: dose_of[t] for t, samples in enumerate(tasks) for i in samples}
    share_IF = attribute(pair, exchange, doses).double().numpy()
    of_task = np.repeat(np.arange(len(tasks)), [len(samples) for samples in tasks])
    return np.mean([positive_shares(share_IF[of_task == t].mean(0), everyone_F) for t in range(len(tasks))], axis=0)
