"""One step of training a sparse crosscoder, and everything that changes while it trains (docs/method.md, section 4).

Everything that changes while training lives in `Training`; a step reads one batch and the step number and nothing else.
Nothing is copied from the device inside a step: metrics are kept as tensors and read at the end, dead latents are
looked up every `DEAD_EVERY` steps. A step is made by `compiled_step` on a CPU with a compiler, else by `plain_step`;
their results differ by rounding only. Several processes (`rlgen.dictionaries.ranks`) make one step together with
`plain_step`.

Shapes: B rows, S latents, M members, d width, D dead latents.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch

from rlgen.dictionaries import compiled_step
from rlgen.dictionaries.compiled_step import CompiledStep
from rlgen.dictionaries.encoders import TrainedBend
from rlgen.dictionaries.parameters import Moments, Outcome, Parameters
from rlgen.dictionaries.plain_step import PlainStep
from rlgen.dictionaries.ranks import ALONE, Ranks
from rlgen.dictionaries.settings import Recipe

DEAD_EVERY = 20  # steps between two looks at which latents are dead
POINTS = 100  # points per curve
STATISTICS = ("idle_rows_S", "threshold", "dead_D", "mean_Md", "scale_M")  # what a run keeps beside what Adam changes


def step_made_by(
    device: torch.device | str, ranks: Ranks = ALONE, recipe: Recipe | None = None
) -> Literal["compiled", "torch"]:
    """Which code makes the steps here: results of the two differ by rounding.

    The compiled one knows no alignment but `mse` and no encoder but the linear one.
    """
    known = recipe is None or (recipe.alignment == "mse" and recipe.encoder == "linear")
    compiles = torch.device(device).type == "cpu" and ranks.size == 1 and known
    compiles = compiles and compiled_step.available()
    return "compiled" if compiles else "torch"


@dataclass
class Training:
    """The state of one training run, and its step."""

    recipe: Recipe
    parameters: Parameters
    moments: Moments
    method: PlainStep | CompiledStep
    idle_rows_S: torch.Tensor  # rows since the latent last fired
    threshold: torch.Tensor  # running mean of the smallest kept value (all but l1)
    dead_D: torch.Tensor  # indices of latents dead at the last look
    mean_Md: torch.Tensor  # of raw rows; with the scale part of the run, because computing them reads the harvest
    scale_M: torch.Tensor
    ranks: Ranks = ALONE
    step: int = 0
    points: list[tuple[int, dict[str, torch.Tensor | float]]] = field(default_factory=list)

    @classmethod
    def start(
        cls, recipe: Recipe, members: int, d: int, seed: int, device: torch.device | str, ranks: Ranks = ALONE
    ) -> "Training":
        """A fresh run, whose rows count as normalised until `normalise` says by what they are to be.

        Raises ValueError for a contrastive loss on rows that lie with several processes.
        """
        if recipe.alignment == "contrastive" and ranks.size > 1:
            raise ValueError(f"alignment contrastive: rows lie with {ranks.size} processes, expected one")
        S, made_by = recipe.latents, step_made_by(device, ranks, recipe)
        free = recipe.free_latents if recipe.objective == "shared_latents" else S
        tied_bias = recipe.normalisation == "shared"
        held = (recipe.exclusive_latents, bend_of(recipe, members, d, seed))
        parameters = Parameters(S, members, d, free, tied_bias, recipe.decoder_init_norm, seed, *held).to(device)
        moments = Moments.zero(parameters)
        step = (recipe, parameters, moments)
        return cls(
            recipe,
            parameters,
            moments,
            method=CompiledStep(*step) if made_by == "compiled" else PlainStep(*step, ranks),
            idle_rows_S=torch.zeros(S, dtype=torch.int64, device=device),
            threshold=torch.zeros((), device=device),
            dead_D=torch.zeros(0, dtype=torch.int64, device=device),
            mean_Md=torch.zeros(members, d, device=device),
            scale_M=torch.ones(members, device=device),
            ranks=ranks,
        )

    def normalise(self, mean_Md: torch.Tensor, scale_M: torch.Tensor) -> None:
        """Take rows as (h - mean) / scale from now on, both in raw units."""
        self.mean_Md, self.scale_M = mean_Md.to(self.mean_Md.device), scale_M.to(self.scale_M.device)

    def normalised(self, rows_BMd: torch.Tensor) -> torch.Tensor:
        """What `advance` takes, of raw rows on this run's device, in the memory of the batch where that has this type.

        Computed in float32, returned in the recipe's precision.
        """
        rows_BMd = rows_BMd.float().sub_(self.mean_Md).div_(self.scale_M[:, None])
        return rows_BMd.to(getattr(torch, self.recipe.precision))

    def advance(self, rows_BMd: torch.Tensor) -> None:
        """One step of Adam on one normalised batch, or on this process's rows of it."""
        recipe, B = self.recipe, self.ranks.rows(len(rows_BMd), self.recipe.batch_rows)
        rate = recipe.learning_rate * learning_rate_factor(self.step, recipe)
        l1 = l1_coefficient(self.step, recipe) if recipe.objective == "l1" else 0.0
        outcome = self.method.advance(rows_BMd, self.step, rate, l1, self.dead_D)
        momentum = recipe.threshold_momentum if self.step else 0.0
        self.threshold = self.threshold * momentum + outcome.cut * (1 - momentum)
        self.idle_rows_S = torch.where(outcome.fired_S, 0, self.idle_rows_S + B)
        if self.step % max(1, recipe.steps // POINTS) == 0 or self.step == recipe.steps - 1:
            measures = self._measures(rows_BMd, outcome, B)
            self.points.append((self.step, {"loss": outcome.loss, **measures, "learning_rate": rate}))
        self.step += 1
        if self.step % DEAD_EVERY == 0:
            self.dead_D = (self.idle_rows_S >= recipe.dead_after_rows).nonzero().flatten()

    def _measures(self, rows_BMd: torch.Tensor, outcome: Outcome, B: int) -> dict[str, torch.Tensor | float]:
        """Of a batch of B rows: latents per row, variance explained over all members, share of dead latents."""
        return {
            "l0": outcome.active / B,
            "fve": 1 - outcome.reconstruction_loss / self.ranks.variance(rows_BMd.float(), B),
            "dead_share": (self.idle_rows_S >= self.recipe.dead_after_rows).float().mean(),
        }

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """(tensors, facts): everything that `restore` needs to go on with the same bits. Facts are JSON values.

        The tensors are the live ones: save them before the next step.
        """
        tensors = {name: getattr(self, name) for name in STATISTICS}
        for name, parameter in self.parameters.named_parameters():
            tensors[name] = parameter.detach()
            tensors[f"{name}.first"], tensors[f"{name}.second"] = self.moments[name]
        values = [[float(value) for value in measures.values()] for _, measures in self.points]
        tensors["points"] = torch.tensor(values, dtype=torch.float64)  # not JSON: it cannot hold what is not finite
        metrics = list(self.points[0][1]) if self.points else []
        facts = {"step": self.step, "metrics": metrics, "points_at": [step for step, _ in self.points]}
        return tensors, facts | {"step_made_by": step_made_by(self.threshold.device, self.ranks, self.recipe)}

    @torch.no_grad()
    def restore(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Become the run whose `state` this is. It must have been started with the same arguments."""
        for name, parameter in self.parameters.named_parameters():
            parameter.copy_(tensors[name])
            for moment, kind in zip(self.moments[name], ("first", "second"), strict=True):
                moment.copy_(tensors[f"{name}.{kind}"])
        for name in STATISTICS:
            setattr(self, name, tensors[name].to(self.threshold.device))
        values = tensors["points"].tolist()
        points = [dict(zip(facts["metrics"], row, strict=True)) for row in values]
        self.points = list(zip(facts["points_at"], points, strict=True))
        self.step = facts["step"]

    def curves(self) -> list[dict]:
        """Rows {step, metric, value} of what was measured so far."""
        return [
            {"step": step, "metric": metric, "value": float(value)}
            for step, measures in self.points
            for metric, value in measures.items()
        ]


def bend_of(recipe: Recipe, members: int, d: int, seed: int) -> TrainedBend | None:
    """What the recipe's encoder adds that is not linear, as training begins."""
    if recipe.encoder == "linear":
        return None
    sizes = (recipe.encoder_units, recipe.latents, members, d)
    return TrainedBend(recipe.encoder, *sizes, recipe.kernel_width, seed)


def learning_rate_factor(step: int, recipe: Recipe) -> float:
    """Share of the learning rate at `step` (from 0): linear warm-up, constant, linear decay that ends just above 0."""
    warmup, decay = recipe.warmup * recipe.steps, recipe.decay * recipe.steps
    rising = (step + 1) / warmup if warmup else 1.0
    falling = (recipe.steps - step) / decay if decay else 1.0
    return min(1.0, rising, falling)


def l1_coefficient(step: int, recipe: Recipe) -> float:
    """lambda at `step` (from 0): rises linearly from 0 over the first `l1_ramp` of the steps."""
    ramp = recipe.l1_ramp * recipe.steps
    return recipe.l1_coefficient * (min(1.0, step / ramp) if ramp else 1.0)
