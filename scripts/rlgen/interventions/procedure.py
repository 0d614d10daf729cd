"""One procedure's edits of one study and seed: dose curve, chosen dose, and every rival in three forms.

Forms of a rival: at the set's dose (`set_dose`), at the set's mean length (`equal_norm`), at its own dose chosen as the
set's is (`own_dose`). A set that beats its rivals in one form alone has shown less than it seems.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from rlgen.activations.completions import Completions
from rlgen.interventions.controls import RandomSets, random_sets, role_shift
from rlgen.interventions.edits import EditKind, Edits
from rlgen.interventions.rivals import (
    FAMILIES,
    FORMS,
    Candidates,
    Mechanics,
    Rival,
    feature_rivals,
    own_parts,
    turned,
    vector_rivals,
)
from rlgen.interventions.runner import Condition, Goal, Runner
from rlgen.interventions.settings import Intervening
from rlgen.seeds import stream_seed
from rlgen.tasks.samples import Sample

if TYPE_CHECKING:  # no dependency: steering runs without a dictionary
    from rlgen.dictionaries.crosscoder import Crosscoder

ROWS_PER_BATCH = 4096
FAMILY_PROMPTS = 30  # discovery prompts per task on which a family's dose is chosen: it has dozens of members


@dataclass(frozen=True)
class Chosen:
    """The procedure's set and what its rivals are made of."""

    latents: np.ndarray
    noncritical: np.ndarray  # the set chosen on samples that both models get right
    alive_S: np.ndarray
    nrn_S: np.ndarray


class ProcedureEffects:
    """Edits of one running model by one procedure."""

    def __init__(
        self,
        cfg: Intervening,
        crosscoder: "Crosscoder",
        chosen: Chosen,
        completions: Completions,
        runner: Runner,
        state: str,
        goal: Goal,
    ) -> None:
        self.cfg, self.crosscoder, self.chosen, self.completions = cfg, crosscoder, chosen, completions
        self.runner, self.state, self.goal = runner, state, goal
        self.towards_tuned = not moves_away(cfg, state)
        self.member = member_of(state, crosscoder.members)
        samples = runner.evaluator.samples
        self.test_half = [i for i, s in enumerate(samples) if s.half == "test"]
        self.choosing = [i for i, s in enumerate(samples) if s.half == "discovery" and s.task in cfg.selection]

    @cached_property
    def stream_Nd(self) -> torch.Tensor:
        """The running model's stream on the goal's answers to the prompts that choose doses."""
        return self.runner.stream_on_goal(self.choosing, self.goal)

    @cached_property
    def readout(self) -> float:
        """Share of that stream's variance that the readout explains."""
        return readout_quality(self.crosscoder, self.stream_Nd, self.member, self.cfg.readout)

    @property
    def refused(self) -> str | None:
        """Why this model is not edited through this dictionary, in words; None where it is."""
        if not len(self.chosen.latents):
            return "no set"
        return too_little(self.readout, self.cfg.readout_variance)

    def run(self, kind: EditKind) -> tuple[pd.DataFrame, dict]:
        """All conditions of one kind of edit as rows of the interventions table, and the facts of its controls."""
        facts = {"procedure": self.cfg.procedure, "state": self.state, "edit": kind}
        facts |= {"set_size": len(self.chosen.latents), "variance_explained": self.readout}
        if self.refused:
            return pd.DataFrame(), facts | {"refused_readout": self.refused}
        mechanics, candidates = self.mechanics(kind), self.candidates(kind)
        drawn, selected = self.drawn(kind, candidates), Rival("selected", candidates.latents)
        [dose], [unit] = self._own_doses(mechanics, [selected]), mechanics.lengths([selected], self.stream_Nd)
        rivals = self.rivals(kind, candidates, drawn, dose * unit)
        curve = self._curve(mechanics, selected, unit, dose)
        table = pd.concat([curve, *self._controls(mechanics, rivals, dose, dose * unit)], ignore_index=True)
        named = {"procedure": self.cfg.procedure, "state": self.state, "edit": kind}
        return table.assign(**named), facts | _facts(drawn, candidates)

    def _rng(self, *names: str) -> np.random.Generator:
        return np.random.default_rng(stream_seed(self.cfg.seed, self.cfg.procedure, *names))

    def mechanics(self, kind: EditKind) -> Mechanics:
        """How sets become edits of this model."""
        mean_S = None
        if kind == "add":
            mean_S = mean_activation(self.completions, self.crosscoder, self.cfg.readout, "selection")
        shift_d = role_shift(self.completions, "selection")
        where = (self.member, self.cfg.readout, self.towards_tuned)
        return Mechanics(self.crosscoder, kind, *where, shift_d, mean_S)

    def candidates(self, kind: EditKind) -> Candidates:
        """What the rivals of one kind of edit are made of; an exchange acts through latents whose decoders differ."""
        able_S = self.chosen.alive_S & self.crosscoder.free_S.numpy() if kind == "exchange" else self.chosen.alive_S
        norm_S = self.mechanics(kind).directions().norm(dim=1)
        size_S = (mean_readout(self.crosscoder, self.stream_Nd, self.member, self.cfg.readout) * norm_S).numpy()
        return Candidates(
            self.chosen.latents, np.flatnonzero(able_S), size_S, self.chosen.nrn_S, self.chosen.noncritical
        )

    def drawn(self, kind: EditKind, candidates: Candidates) -> RandomSets:
        """Random sets, alike in size; the same in every job of this procedure and seed."""
        wanted = (candidates.latents, candidates.able, self.cfg.random_sets)
        return random_sets(candidates.size_S, *wanted, self._rng(kind, "random"))

    def rivals(self, kind: EditKind, candidates: Candidates, drawn: RandomSets, length: float) -> list[Rival]:
        """All that the set competes with; random directions have `length`."""
        rivals = feature_rivals(candidates, drawn.sets)
        if kind == "exchange":
            rng = self._rng(kind, "rotations")
            rivals += own_parts(candidates.latents)
            rivals += turned(candidates.latents, self.crosscoder.d, self.cfg.random_sets, rng)
        return rivals + vector_rivals(
            self.completions, self.towards_tuned, self.cfg.random_directions, length, self._rng("directions")
        )

    def _curve(self, mechanics: Mechanics, selected: Rival, unit: float, dose: float) -> pd.DataFrame:
        """The set at every dose, with its distance from the goal."""
        doses = self.cfg.doses
        conditions = [Condition("selected", d, {"delta_norm": d * unit}) for d in doses]
        edits = mechanics.edits([selected] * len(doses), doses)
        curve = self.runner.run(conditions, edits, self.test_half, self.goal)
        return curve.assign(form="own_dose", chosen=curve["dose"] == dose)

    def _controls(
        self, mechanics: Mechanics, rivals: Sequence[Rival], dose: float, length: float
    ) -> list[pd.DataFrame]:
        """Every rival in its three forms, on the test half; equal doses run once."""
        parts = []
        for some in by_mechanism(rivals):
            units = mechanics.lengths(some, self.stream_Nd)
            own = self._own_doses(mechanics, some)
            equal = [length / unit if unit > 0 else 0.0 for unit in units]
            doses_of = dict(zip(FORMS, ([dose] * len(some), equal, own), strict=True))
            wanted = [
                (r, form, d[i], u)
                for form, d in doses_of.items()
                for i, (r, u) in enumerate(zip(some, units, strict=True))
            ]
            once = list({(r.name, d): (r, d, u) for r, _, d, u in wanted}.values())
            conditions = [Condition(r.name, d, {"delta_norm": d * u}) for r, d, u in once]
            edits = mechanics.edits([r for r, _, _ in once], [d for _, d, _ in once])
            rows = self.runner.run(conditions, edits, self.test_half)
            named = {key: part for key, part in rows.groupby(["set", "dose"], sort=False)}
            parts += [named[r.name, d].assign(form=form, chosen=True) for r, form, d, _ in wanted]
        return parts

    def _own_doses(self, mechanics: Mechanics, rivals: Sequence[Rival]) -> list[float]:
        """The dose of every rival of one mechanism that brings the model closest to the goal; families share one."""
        doses = self.cfg.doses
        found = {}
        for family in dict.fromkeys(r.family for r in rivals):
            some = [r for r in rivals if r.family == family]
            samples = self.choosing
            if family in FAMILIES:
                samples = first_prompts(self.runner.evaluator.samples, "discovery", FAMILY_PROMPTS, self.cfg.selection)
            edits = mechanics.edits([r for r in some for _ in doses], doses * len(some))
            found[family] = own_dose(self.runner, edits, len(some), doses, samples, self.goal)
        return [found[r.family] for r in rivals]


def too_little(explained: float, least: float) -> str | None:
    """Why a model is not edited through a readout that explains this share of its variance; None where it is."""
    return f"readout explains {explained:.2f} of the variance, less than {least:g}" if explained < least else None


def first_prompts(samples: Sequence[Sample], half: str, n: int, tasks: Collection[str] | None = None) -> list[int]:
    """Places of the first `n` prompts of a half, of every task or of some, in the order of the samples."""
    seen: Counter[str] = Counter()
    found = []
    for i, sample in enumerate(samples):
        if sample.half == half and (tasks is None or sample.task in tasks) and seen[sample.task] < n:
            seen[sample.task] += 1
            found.append(i)
    return found


def by_mechanism(rivals: Sequence[Rival]) -> list[list[Rival]]:
    """Rivals that run side by side."""
    groups: dict[str, list[Rival]] = {}
    for rival in rivals:
        groups.setdefault(rival.mechanism, []).append(rival)
    return list(groups.values())


def _facts(drawn: RandomSets, candidates: Candidates) -> dict:
    """What is known of the random sets, and how alike in size they are."""
    total = candidates.size_S[candidates.latents].sum()
    sizes = [candidates.size_S[latents].sum() / total for latents in drawn.sets] if total > 0 else []
    return {
        "pool": drawn.pool,
        "random_sets": len(drawn.sets),
        "mean_jaccard": drawn.mean_jaccard,
        "effective": drawn.effective,
        "size_ratio": float(np.mean(sizes)) if sizes else np.nan,
        "refused": drawn.refused,
    }


@torch.no_grad()
def mean_readout(crosscoder: "Crosscoder", h_Nd: torch.Tensor, member: int, readout: str) -> torch.Tensor:
    """E[f_k]: mean one-sided activation of every latent over rows h_Nd, float32 (S,)."""
    parts = [crosscoder.encode_one(h_Bd, member, readout).sum(0).double() for h_Bd in h_Nd.split(ROWS_PER_BATCH)]
    return (torch.stack(parts).sum(0) / len(h_Nd)).float()


@torch.no_grad()
def readout_quality(crosscoder: "Crosscoder", h_Nd: torch.Tensor, member: int, readout: str) -> float:
    """Share of the variance of rows h_Nd that the one-sided code explains, decoded into the member's own slot."""
    error = total = 0.0
    mean_d = h_Nd.double().mean(0)
    for h_Bd in h_Nd.split(ROWS_PER_BATCH):
        back_Bd = crosscoder.decode(crosscoder.encode_one(h_Bd, member, readout))[:, member]
        error += float((h_Bd.double() - back_Bd.double()).square().sum())
        total += float((h_Bd.double() - mean_d).square().sum())
    return 1 - error / total if total > 0 else float("nan")


def mean_activation(completions: Completions, crosscoder: "Crosscoder", readout: str, role: str) -> torch.Tensor:
    """fbar_S: mean readout of the tuned model over the completion positions of a role's tasks."""
    tuned_Nd = completions.tuned_Nd[completions.of_role(role)]
    return mean_readout(crosscoder, tuned_Nd, len(crosscoder.members) - 1, readout)


def same_model(state: str, other: str) -> bool:
    """Whether two states are checkpoints of one model: `rl@1` and `rl`."""
    return state.partition("@")[0] == other.partition("@")[0]


def moves_away(cfg: Intervening, state: str) -> bool:
    """Whether edits of a state point to the reference: it is the tuned model's own, or the study says so."""
    return same_model(state, cfg.tuned) or state in cfg.away


def member_of(state: str, members: Sequence[str]) -> int:
    """The member whose statistics normalise a running state: its own model, the last such; else the reference."""
    own = [place for place, member in enumerate(members) if same_model(state, member)]
    return own[-1] if own else 0


def own_dose(
    runner: Runner, edits: Edits, members: int, doses: Sequence[float], samples: Sequence[int], goal: Goal
) -> float:
    """The best dose of a family; `edits` are its members under all doses, doses varying fastest."""
    kl_CI = runner.distances(members * len(doses), edits, samples, goal)
    tasks = [runner.evaluator.samples[i].task for i in samples]
    return best_dose(kl_CI.reshape(members, len(doses), len(samples)).mean(0), tasks, doses)


def best_dose(kl_DI: np.ndarray, tasks: Sequence[str], doses: Sequence[float]) -> float:
    """The dose with the least mean KL(goal || edited) over discovery prompts I of the selection tasks.

    Mean over a task's prompts, then over tasks; ties go to the smaller dose. One criterion for enabling and for
    disabling, that a destructive dose cannot win.
    """
    by_task = pd.DataFrame(kl_DI.T, columns=list(doses)).groupby(list(tasks)).mean().mean(axis=0).sort_index()
    return float(by_task.idxmin())
