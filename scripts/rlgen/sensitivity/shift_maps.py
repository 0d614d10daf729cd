"""Maps from the reference's stream to the tuned model's, without a dictionary, and edits by what they add.

h -> h + D(h), D fitted by least squares on rows of both models on the same tokens, in units in which the reference's
rows x have squared norm d on average:

    ridge    D = x A + a, penalty RIDGE times the mean variance of a column
    kernel   D = x A + sqrt(2 / H) cos(x V + c) U + a, V and c drawn (random Fourier features), A, U, a as in ridge
    mlp      D = x A + relu(x V + c) U + a, begun at the ridge solution with U = 0, then Adam on all

(docs/method.md, section 11.) Shapes: N rows, B of a batch, C conditions, F features, H hidden units, d width.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch

from rlgen.dictionaries.encoders import Bend, OneSided, TrainedBend, curve
from rlgen.interventions.edits import Delta, PerRowEdits
from rlgen.seeds import stream_seed

Kind = Literal["ridge", "mlp", "kernel"]
RIDGE = 1e-4
BATCH, RATE = 1024, 1e-3  # of the MLP's Adam
PIECE = 8192  # rows whose features stand in memory together


def fit_map(
    kind: Kind, reference_Nd: torch.Tensor, tuned_Nd: torch.Tensor, units: int, steps: int, seed: int
) -> OneSided:
    """D, for raw rows of the reference, in raw units."""
    mean_d = reference_Nd.double().mean(0)
    d = len(mean_d)
    scale = (reference_Nd.double() - mean_d).square().sum(1).mean().div(d).sqrt()
    x_Nd, y_Nd = (reference_Nd.double() - mean_d) / scale, (tuned_Nd.double() - reference_Nd.double()) / scale
    bend = None
    if kind == "kernel":
        bend = TrainedBend("kernel", units, d, 1, d, 1.0, seed).trained().to(torch.float64)
    found = _least_squares(x_Nd, y_Nd, bend)
    if kind == "mlp":
        found = _descend(x_Nd.float(), y_Nd.float(), found, units, steps, seed)
    found = found.to(torch.float64).raw(mean_d, scale)
    bend = found.bend and replace(found.bend, U_HS=found.bend.U_HS * scale)
    return OneSided(found.W_dS * scale, found.b_S * scale, bend).to(torch.float32)


def _least_squares(x_Nd: torch.Tensor, y_Nd: torch.Tensor, bend: Bend | None) -> OneSided:
    """Penalised least squares of y on x, and on the bend's hidden units where there is one."""

    def features(x_Bd: torch.Tensor) -> torch.Tensor:
        return x_Bd if bend is None else torch.cat([x_Bd, curve(bend.kind, x_Bd @ bend.V_XH + bend.c_H)], 1)

    n, sum_F, sum_d, products_FF, products_Fd = len(x_Nd), 0.0, y_Nd.mean(0), 0.0, 0.0
    for x_Bd, y_Bd in zip(x_Nd.split(PIECE), y_Nd.split(PIECE), strict=True):
        f_BF = features(x_Bd)
        sum_F, products_FF, products_Fd = sum_F + f_BF.sum(0), products_FF + f_BF.T @ f_BF, products_Fd + f_BF.T @ y_Bd
    mean_F = sum_F / n
    covariance_FF = products_FF / n - mean_F[:, None] * mean_F
    penalty_FF = RIDGE * covariance_FF.trace() / len(mean_F) * torch.eye(len(mean_F), dtype=torch.float64)
    A_Fd = torch.linalg.solve(covariance_FF + penalty_FF, products_Fd / n - mean_F[:, None] * sum_d)
    d = x_Nd.shape[1]
    return OneSided(A_Fd[:d], sum_d - mean_F @ A_Fd, bend and replace(bend, U_HS=A_Fd[d:]))


def _descend(x_Nd: torch.Tensor, y_Nd: torch.Tensor, start: OneSided, units: int, steps: int, seed: int) -> OneSided:
    """The MLP that begins at `start`: batches drawn with replacement, the learning rate falling to zero."""
    d = x_Nd.shape[1]
    bend = TrainedBend("mlp", units, d, 1, d, 1.0, seed)
    linear = [start.W_dS.float().requires_grad_(), start.b_S.float().requires_grad_()]
    adam = torch.optim.Adam([*linear, *bend.parameters()], lr=RATE)
    falling = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1 - step / steps)
    generator = torch.Generator().manual_seed(stream_seed(seed, "shift_map"))
    for _ in range(steps):
        rows_B = torch.randint(len(x_Nd), (BATCH,), generator=generator)
        made_Bd = x_Nd[rows_B] @ linear[0] + linear[1] + bend(x_Nd[rows_B])
        adam.zero_grad()
        (made_Bd - y_Nd[rows_B]).square().sum(1).mean().backward()
        adam.step()
        falling.step()
    return OneSided(*(x.detach() for x in linear), bend.trained())


@torch.no_grad()
def explained(shift: OneSided, reference_Nd: torch.Tensor, tuned_Nd: torch.Tensor) -> float:
    """Share of the variance of h_tuned - h_reference that the map explains."""
    y_Nd = tuned_Nd.double() - reference_Nd.double()
    made_Nd = torch.cat([shift.pre(h_Bd.float()).double() for h_Bd in reference_Nd.split(PIECE)])
    return 1 - float((y_Nd - made_Nd).square().sum() / (y_Nd - y_Nd.mean(0)).square().sum())


def projector(rows_Fd: torch.Tensor) -> torch.Tensor:
    """Onto the span of the rows (d, d); zero where there is none."""
    _, size_F, right_Fd = torch.linalg.svd(rows_Fd.double(), full_matrices=False)
    kept_Rd = right_Fd[size_F > 1e-6 * size_F.max()] if size_F.numel() and size_F.max() > 0 else right_Fd[:0]
    return (kept_Rd.T @ kept_Rd).float()


@dataclass(frozen=True)
class MapEdits(PerRowEdits):
    """C conditions that add a part of what a map adds: dose_C times D(h) onto_Cdd."""

    shift: OneSided
    onto_Cdd: torch.Tensor
    dose_C: torch.Tensor

    def on(self, device: torch.device | str) -> "MapEdits":
        """The same edits on a device."""
        return MapEdits(self.shift.to(device), self.onto_Cdd.to(device), self.dose_C.to(device))

    def delta(self, condition_B: torch.Tensor) -> Delta:
        """What each row's condition keeps of the map."""
        onto_Bdd = (self.dose_C[:, None, None] * self.onto_Cdd)[condition_B]
        return lambda h_BTd: self.shift.pre(h_BTd.float()) @ onto_Bdd
