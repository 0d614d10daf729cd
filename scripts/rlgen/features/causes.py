"""Scores by cause: what exchanging latents does to two models, from their texts to tables. (docs/method.md, section 7.)

Only the discovery half is read. Reference and tuned model run edited towards one another, each on the other's own text.

Shapes: I samples of the discovery half, S latents, F alive ones.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field

from rlgen.activations.forced import apart
from rlgen.behaviour.continuations import encode_sample
from rlgen.dictionaries.held_out import load_crosscoder
from rlgen.features.attribution import attribute, dose_curve
from rlgen.features.elimination import best_dose, eliminate
from rlgen.features.exchange import Exchange, Pair
from rlgen.features.gates import Direction, learn_gates
from rlgen.features.mediation import populations
from rlgen.files import read_parquet
from rlgen.models.checkpoints import load_model, load_tokenizer
from rlgen.names import Readout
from rlgen.seeds import stream_seed
from rlgen.strict import Strict
from rlgen.tasks.samples import read_samples

GATE_STEPS, GATE_SAMPLES = 300, 192


class ForcedModels(Strict):
    """Which models are forced on which texts, and what is exchanged in them."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    reference: str
    tuned: str
    layer: int = Field(ge=0)
    positions: Literal["completion", "all"]
    readout: Readout
    critical: Literal["gained", "lost"]
    doses: list[float] = Field(min_length=1)
    completion_tokens: int | None = Field(ge=1, description="tokens of a text that count; null: all, words are tokens")
    batch_size: int | None = Field(ge=1, description="sequences run together; null: as many as fit")


class AttributeFeatures(ForcedModels):
    """The slice that `scripts/features/attribute_features.py` receives."""


class ChooseTogether(ForcedModels):
    """The slice that `scripts/features/choose_together.py` receives."""

    score: Literal["elimination", "gates"]
    cut_count: int = Field(ge=1)
    gate_penalty: float = Field(gt=0)
    tasks: list[str] = Field(min_length=1, description="selection tasks: only they choose")


class Subjects:
    """Both models on the discovery half of some tasks, and the alive latents of a dictionary over them.

    `enable` runs the reference towards the tuned model, `disable` the reverse; a sample has the same place in both.
    """

    def __init__(
        self,
        cfg: ForcedModels,
        dictionary: Path,
        folders: tuple[Path, Path],
        behaviours: tuple[Path, Path],
        samples: list[Path],
        device: torch.device,
    ) -> None:
        """Load everything; folders and behaviours are those of (reference, tuned)."""
        self.cfg, self.crosscoder = cfg, load_crosscoder(dictionary, device, cfg.readout)
        features = read_parquet(dictionary / "features.parquet").sort_values("latent")
        self.alive_F = torch.from_numpy(np.flatnonzero(features["alive"].to_numpy())).to(device)
        tables = [read_parquet(path) for path in behaviours]
        states = zip(tables, (cfg.reference, cfg.tuned), strict=True)
        known = [table[table["state"] == state].set_index("sample") for table, state in states]
        self.samples = [s for s in read_samples(samples) if s.half == "discovery"]
        self.task_I = np.array([s.task for s in self.samples])
        right = [np.array([bool(table.at[s.sample, "correct"]) for s in self.samples]) for table in known]
        self.population_I = populations(*right, cfg.critical) | {"all": np.ones(len(self.samples), dtype=bool)}
        models = [load_model(folder, device).requires_grad_(False) for folder in folders]
        tokenizer, encode = load_tokenizer(folders[1]), encode_sample if cfg.completion_tokens else apart
        own = [[encode(tokenizer, s, table.at[s.sample, "completion"]) for s in self.samples] for table in known]
        own = [[(prompt, text[: cfg.completion_tokens]) for prompt, text in texts] for texts in own]
        rest = (cfg.layer, cfg.positions == "all")
        self.enable = Pair(*models, *rest, own[1], cfg.batch_size)
        self.disable = Pair(*models[::-1], *rest, own[0], cfg.batch_size)

    def exchange(self, running: int) -> Exchange:
        """The exchange of every alive latent in the reference (0) or in the tuned model (1)."""
        return Exchange(self.crosscoder, running, self.cfg.readout, self.alive_F)

    def of(self, task: str, population: str) -> list[int]:
        """Places of a task's samples in a population; one without text counts as absent."""
        chosen_I = (self.task_I == task) & self.population_I[population]
        return [int(i) for i in np.flatnonzero(chosen_I) if self.enable.texts[i][1]]


def attribution_tables(subjects: Subjects) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(scores, paths) of every task by itself, so that any choice of tasks is a mean of rows.

    scores: population, task, latent (alive ones only), attribution in nats per text. paths: population, task, samples,
    dose (of exchanging every alive latent, best on all of the task's samples), kl_unedited, kl_exchanged, and
    attributed, the sum over latents, which is their difference but for the error of the quadrature.
    """
    scores, paths = [], []
    for task in dict.fromkeys(subjects.task_I.tolist()):
        for population, latents, row in _task_attribution(subjects, task):
            scores.append(latents.assign(population=population, task=task))
            paths.append({"population": population, "task": task} | row)
    columns = ["population", "task", "latent", "attribution"]
    return pd.concat(scores, ignore_index=True)[columns], pd.DataFrame(paths)


def _task_attribution(subjects: Subjects, task: str) -> Iterator[tuple[str, pd.DataFrame, dict]]:
    """Per population of one task: its mean attributions, and its path."""
    exchange, everyone = subjects.exchange(0), subjects.of(task, "all")
    doses = [0.0, *subjects.cfg.doses]
    kl_ID = dose_curve(subjects.enable, exchange, everyone, doses).numpy()
    end = 1 + int(kl_ID[:, 1:].mean(0).argmin()) if everyone else 0
    share_IF = attribute(subjects.enable, exchange, dict.fromkeys(everyone, doses[end])).double().numpy()
    for population in subjects.population_I:
        chosen = np.isin(everyone, subjects.of(task, population))
        mean_F, n = share_IF[chosen].sum(0) / max(chosen.sum(), 1), int(chosen.sum())
        ends = kl_ID[chosen][:, [0, end]].mean(0) if n else np.full(2, np.nan)
        row = {"samples": n, "dose": doses[end], "kl_unedited": ends[0], "kl_exchanged": ends[1]}
        latents = pd.DataFrame({"latent": subjects.alive_F.cpu().numpy(), "attribution": mean_F})
        yield population, latents, row | {"attributed": mean_F.sum()}


def joint_table(subjects: Subjects) -> pd.DataFrame:
    """population, latent (alive ones only), score: higher is better, over all selection tasks together.

    elimination: 1 for the latent that stays longest, falling by equal steps. gates: probability that the gate is open.
    Rows of a population exist only where some task has samples of it.
    """
    cfg, tables = subjects.cfg, []
    for population in ("critical", "noncritical"):
        tasks = [samples for task in cfg.tasks if (samples := subjects.of(task, population))]
        if tasks and len(subjects.alive_F):
            score_F = (_stays if cfg.score == "elimination" else _opens)(subjects, tasks, population)
            columns = {"latent": subjects.alive_F.cpu().numpy(), "score": score_F}
            tables.append(pd.DataFrame({"population": population} | columns))
    empty = pd.DataFrame({"population": [], "latent": [], "score": []})
    return pd.concat(tables or [empty], ignore_index=True)


def _stays(subjects: Subjects, tasks: list[list[int]], _population: str) -> NDArray[np.float64]:
    order, _ = eliminate(subjects.enable, subjects.exchange(0), tasks, subjects.cfg.doses, subjects.cfg.cut_count)
    place = {int(latent): n for n, latent in enumerate(order)}
    return np.array([1 - place[k] / len(order) for k in subjects.alive_F.tolist()])


def _opens(subjects: Subjects, tasks: list[list[int]], population: str) -> NDArray[np.float64]:
    cfg = subjects.cfg
    samples = [i for some in tasks for i in some if subjects.disable.texts[i][1]]
    directions = []
    for running, pair in enumerate((subjects.enable, subjects.disable)):
        exchange = subjects.exchange(running)
        directions.append(Direction(pair, exchange, float(dose_curve(pair, exchange, samples, [0.0]).mean())))
    dose = best_dose(subjects.enable, subjects.exchange(0), samples, cfg.doses)
    seed = stream_seed(cfg.seed, "gates", population)
    return learn_gates(directions, samples, cfg.gate_penalty, GATE_STEPS, GATE_SAMPLES, seed, dose).open_F
