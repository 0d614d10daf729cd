"""What a set of latents adds on average, and what random sets of the same size add (docs/method.md, section 8).

What an exchange adds is linear in the latents: sum_F E[f_k] v_k, with f_k the reference's readout on the tuned model's
completions and v_k what one unit of the latent adds. So every set, chosen or random, is one matrix product, and what a
set reaches always stands beside what random sets of as many latents reach.

Shapes: K samples, S latents, d width of the residual stream, R random sets or resamples, X members * d.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rlgen.activations.completions import Completions
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.interventions.controls import sample_means
from rlgen.interventions.edits import directions
from rlgen.interventions.procedure import Chosen
from rlgen.interventions.runs import read_chosen
from rlgen.names import Readout

DRAWS = 1000  # random sets of the chance range, and bootstrap draws over samples
EXCHANGE = "exchange"
LARGEST_CODE = 2**28  # values of a code that are held at once


@dataclass(frozen=True)
class Direction:
    """A mean direction with its bootstrap over samples, and the directions of random sets of the same size."""

    vector_d: np.ndarray
    bootstrap_Rd: np.ndarray
    random_Rd: np.ndarray


@dataclass(frozen=True)
class Exchange:
    """What exchanging latents adds to the reference, per sample: z_KS @ value_Sd, and the latents that chance draws."""

    z_KS: np.ndarray
    value_Sd: np.ndarray
    latents: np.ndarray
    pool: np.ndarray

    def direction(self, rows_K: np.ndarray, random: list[np.ndarray], rng: np.random.Generator) -> Direction:
        """Mean direction of the set over some samples, and of random sets on the same samples."""
        chosen_Kd = self.z_KS[rows_K][:, self.latents] @ self.value_Sd[self.latents]
        mean_S = self.z_KS[rows_K].mean(0)
        random_Rd = np.stack([mean_S[latents] @ self.value_Sd[latents] for latents in random])
        return Direction(chosen_Kd.mean(0), bootstrap_means(chosen_Kd, rng), random_Rd)

    def random_sets(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Uniform draws of as many latents as the set has, from alive ones that may differ between the models."""
        size = min(len(self.latents), len(self.pool))
        return [rng.choice(self.pool, size, replace=False) for _ in range(DRAWS)]


@dataclass(frozen=True)
class Found:
    """What one procedure found in one seed."""

    crosscoder: Crosscoder
    chosen: Chosen
    readout: Readout

    @classmethod
    def load(cls, dictionary: Path, set_file: Path, readout: Readout) -> "Found":
        """Read a dictionary's folder and the set.json of what was chosen in it."""
        chosen = read_chosen(set_file, dictionary / "features.parquet")
        return cls(Crosscoder.load(dictionary, readout), chosen, readout)

    @property
    def alive(self) -> NDArray[np.intp]:
        """Latents that can be matched."""
        return np.flatnonzero(self.chosen.alive_S)

    def decoder_SX(self) -> NDArray[np.float32]:
        """Decoder rows of all members side by side, raw units."""
        return self.crosscoder.decoder_raw_SMd.flatten(1).numpy()

    def exchange(self, completions: Completions) -> Exchange:
        """Reading the reference on every sample of the completions, in their order."""

        def code(h_Bd: torch.Tensor) -> torch.Tensor:
            return self.crosscoder.encode_one(h_Bd, 0, self.readout)

        rows = max(1, LARGEST_CODE // self.crosscoder.n_latents)
        z_KS = sample_means(completions.reference_Nd, completions.sample_N, code, rows).numpy()
        value_Sd = directions(self.crosscoder, EXCHANGE, towards_tuned=True).double().numpy()
        pool = np.flatnonzero(self.chosen.alive_S & self.crosscoder.free_S.numpy())
        return Exchange(z_KS, value_Sd, self.chosen.latents, pool)


def cosine(a_Rd: np.ndarray, b_d: np.ndarray) -> np.ndarray:
    """Cosines of rows with one vector; 0 for a zero row."""
    norms = np.linalg.norm(a_Rd, axis=-1) * np.linalg.norm(b_d)
    return np.divide(a_Rd @ b_d, norms, out=np.zeros_like(norms), where=norms > 0)


def carried(a_Rd: np.ndarray, shift_d: np.ndarray) -> np.ndarray:
    """Share of a shift that rows carry: their projection on it over its length; beyond 1 they overshoot."""
    return a_Rd @ shift_d / (shift_d @ shift_d)


def bootstrap_means(values_Kd: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means of DRAWS resamples of the rows, (DRAWS, d)."""
    k = len(values_Kd)
    return rng.multinomial(k, np.full(k, 1 / k), size=DRAWS) / k @ values_Kd


def measured(
    names: dict[str, str], direction: Direction, quantity: Callable[[np.ndarray], np.ndarray]
) -> dict[str, object]:
    """The row of a quantity of directions (R, d) -> (R,): its value, 95 % interval, and the range that chance reaches.

    chance: median of the random draws; chance_lo and chance_hi: 2.5 and 97.5 %; p: share of them that reach the value,
    which counts as one of them itself.
    """
    value, random_R = float(quantity(direction.vector_d[None])[0]), quantity(direction.random_Rd)
    lo, hi = np.quantile(quantity(direction.bootstrap_Rd), [0.025, 0.975])
    chance_lo, chance, chance_hi = np.quantile(random_R, [0.025, 0.5, 0.975])
    p = (1 + int((random_R >= value - 1e-12).sum())) / (1 + len(random_R))
    chances = {"chance_lo": chance_lo, "chance": chance, "chance_hi": chance_hi, "p": p}
    return names | {"value": value, "lo": lo, "hi": hi} | chances
