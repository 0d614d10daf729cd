"""One step of training a sparse crosscoder, and everything that changes while it trains (docs/method.md, section 4).

Everything that changes while training lives in `Training`; a step reads one batch and the step number and nothing else.
Nothing is copied from the device inside a step: metrics are kept as tensors and read at the end, dead latents are
looked up every `DEAD_EVERY` steps.

Shapes: B rows, S latents, M members, d width, D dead latents, F free latents, T tied latents (F + T = S).
"""

from dataclasses import dataclass, field

import torch

from rlgen.objectives import auxiliary_loss, batchtopk, l1_penalty, latent_norms, reconstruction_loss
from rlgen.seeds import stream_seed
from rlgen.settings.dictionaries import Recipe

DEAD_EVERY = 20  # steps between two looks at which latents are dead
POINTS = 100  # points per curve


class Parameters(torch.nn.Module):
    """The trained tensors, stored as few large matrices; tied values are stored once and have one gradient.

    Decoder rows start with norm `init_norm` in a random direction, the same in every member, so that a latent's index
    means the same in all of them; the encoder starts as the decoder transposed, biases at 0.
    """

    def __init__(self, S: int, M: int, d: int, free: int, tied_bias: bool, init_norm: float, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(stream_seed(seed, "decoder_init"))
        W_Sd = torch.randn(S, d, generator=generator)
        W_S1d = (W_Sd / W_Sd.norm(dim=1, keepdim=True) * init_norm)[:, None]
        self.members = M
        self.W_enc_MdS = torch.nn.Parameter(W_S1d.expand(S, M, d).permute(1, 2, 0).contiguous())
        self.b_enc_S = torch.nn.Parameter(torch.zeros(S))
        self.W_free_FMd = torch.nn.Parameter(W_S1d[:free].expand(free, M, d).contiguous())
        self.W_tied_T1d = torch.nn.Parameter(W_S1d[free:].clone())
        self.b_dec_Md = torch.nn.Parameter(torch.zeros(1 if tied_bias else M, d))

    def decoder(self) -> torch.Tensor:
        """W_dec_SMd: the free latents, then the tied ones repeated over members."""
        if len(self.W_tied_T1d) == 0:
            return self.W_free_FMd
        return torch.cat([self.W_free_FMd, self.W_tied_T1d.expand(-1, self.members, -1)])

    def pre_activation(self, rows_BMd: torch.Tensor) -> torch.Tensor:
        """Normalised rows -> pre_BS, as one matrix product over the concatenated members."""
        return torch.addmm(self.b_enc_S, rows_BMd.flatten(1), self.W_enc_MdS.flatten(0, 1))

    def reconstruction(self, z_BS: torch.Tensor, W_dec_SMd: torch.Tensor) -> torch.Tensor:
        """Code -> normalised reconstruction (B, M, d)."""
        bias_Md = self.b_dec_Md.expand(self.members, -1)
        return torch.addmm(bias_Md.flatten(), z_BS, W_dec_SMd.flatten(1)).unflatten(1, bias_Md.shape)


@dataclass
class Training:
    """The state of one training run, and its step."""

    recipe: Recipe
    parameters: Parameters
    optimizer: torch.optim.Optimizer
    idle_rows_S: torch.Tensor  # rows since the latent last fired
    threshold: torch.Tensor  # running mean of the smallest kept value (batchtopk, shared_latents)
    dead_D: torch.Tensor  # indices of latents dead at the last look
    step: int = 0
    points: list[tuple[int, dict[str, torch.Tensor | float]]] = field(default_factory=list)

    @classmethod
    def start(cls, recipe: Recipe, members: int, d: int, seed: int, device: torch.device | str) -> "Training":
        """A fresh run."""
        S = recipe.latents
        free = recipe.free_latents if recipe.objective == "shared_latents" else S
        tied_bias = recipe.normalisation == "shared"
        parameters = Parameters(S, members, d, free, tied_bias, recipe.decoder_init_norm, seed).to(device)
        return cls(
            recipe,
            parameters,
            torch.optim.Adam(parameters.parameters(), lr=recipe.learning_rate, fused=True),
            idle_rows_S=torch.zeros(S, dtype=torch.int64, device=device),
            threshold=torch.zeros((), device=device),
            dead_D=torch.zeros(0, dtype=torch.int64, device=device),
        )

    def advance(self, rows_BMd: torch.Tensor) -> None:
        """One step of Adam on one normalised batch."""
        rate = self.recipe.learning_rate * learning_rate_factor(self.step, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        W_dec_SMd = self.parameters.decoder()
        z_BS, reconstruction_BMd, loss = self._losses(rows_BMd, W_dec_SMd)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            fired_S = z_BS.amax(0) > 0
            self.idle_rows_S = torch.where(fired_S, 0, self.idle_rows_S + len(rows_BMd))
            if self.step % max(1, self.recipe.steps // POINTS) == 0 or self.step == self.recipe.steps - 1:
                measures = self._measures(rows_BMd, reconstruction_BMd, z_BS)
                self.points.append((self.step, {"loss": loss.detach(), **measures, "learning_rate": rate}))
        self.step += 1
        if self.step % DEAD_EVERY == 0:
            self.dead_D = (self.idle_rows_S >= self.recipe.dead_after_rows).nonzero().flatten()

    def _losses(
        self, rows_BMd: torch.Tensor, W_dec_SMd: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(z_BS, reconstruction_BMd, the loss to minimise)."""
        recipe, norms_S = self.recipe, latent_norms(W_dec_SMd)
        pre_BS = self.parameters.pre_activation(rows_BMd)
        if recipe.objective == "l1":
            z_BS = pre_BS.relu()
        else:
            z_BS, cut = batchtopk(pre_BS, norms_S, recipe.k)
            momentum = recipe.threshold_momentum if self.step else 0.0
            self.threshold = self.threshold * momentum + cut * (1 - momentum)
        reconstruction_BMd = self.parameters.reconstruction(z_BS, W_dec_SMd)
        loss = reconstruction_loss(rows_BMd, reconstruction_BMd)
        if recipe.objective == "l1":
            loss = loss + l1_coefficient(self.step, recipe) * l1_penalty(z_BS, norms_S)
        elif len(self.dead_D):
            residual_BMd = rows_BMd - reconstruction_BMd.detach()
            dead = (pre_BS.index_select(1, self.dead_D), W_dec_SMd.index_select(0, self.dead_D))
            loss = loss + recipe.aux_coefficient * auxiliary_loss(residual_BMd, *dead, recipe.aux_k)
        return z_BS, reconstruction_BMd, loss

    def _measures(
        self, rows_BMd: torch.Tensor, reconstruction_BMd: torch.Tensor, z_BS: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Of this batch: latents per row, variance explained over all members, share of dead latents."""
        total = reconstruction_loss(rows_BMd, rows_BMd.mean(0).expand_as(rows_BMd))
        return {
            "l0": (z_BS > 0).sum() / len(z_BS),
            "fve": 1 - reconstruction_loss(rows_BMd, reconstruction_BMd) / total,
            "dead_share": (self.idle_rows_S >= self.recipe.dead_after_rows).float().mean(),
        }

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """(tensors, facts): everything that `restore` needs to go on with the same bits. Facts are JSON values.

        The tensors are the live ones: save them before the next step.
        """
        tensors = {"idle_rows_S": self.idle_rows_S, "threshold": self.threshold, "dead_D": self.dead_D}
        for name, parameter in self.parameters.named_parameters():
            tensors[name] = parameter.detach()
            moments = self.optimizer.state.get(parameter, {})
            tensors |= {f"{name}.{moment}": value for moment, value in moments.items()}
        values = [[float(value) for value in measures.values()] for _, measures in self.points]
        tensors["points"] = torch.tensor(values, dtype=torch.float64)  # not JSON: it cannot hold what is not finite
        metrics = list(self.points[0][1]) if self.points else []
        return tensors, {"step": self.step, "metrics": metrics, "points_at": [step for step, _ in self.points]}

    @torch.no_grad()
    def restore(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Become the run whose `state` this is. It must have been started with the same arguments."""
        for name, parameter in self.parameters.named_parameters():
            parameter.copy_(tensors[name])
            moments = {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
            if moments:
                self.optimizer.state[parameter] = {moment: t.to(parameter.device) for moment, t in moments.items()}
        self.idle_rows_S, self.threshold, self.dead_D = (
            tensors[name].to(self.threshold.device) for name in ("idle_rows_S", "threshold", "dead_D")
        )
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
