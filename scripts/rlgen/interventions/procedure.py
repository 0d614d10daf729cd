"""One procedure's edits of one study and seed: dose curve, chosen dose, matched controls, rivals of the same norm."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from rlgen.activations.completions import Completions
from rlgen.interventions.controls import MatchedSet, matched_sets, random_directions, rescaled, role_shift, rotations
from rlgen.interventions.edits import EditKind, Edits, FeatureEdits, VectorEdits, directions, mean_norm
from rlgen.interventions.runner import Condition, Goal, Runner
from rlgen.interventions.settings import Intervening
from rlgen.seeds import stream_seed

if TYPE_CHECKING:
    from rlgen.dictionaries.crosscoder import Crosscoder


@dataclass(frozen=True)
class Chosen:
    """The procedure's set and what its controls need: latents, frequencies, which are alive, and the NRN rival."""

    latents: np.ndarray
    frequency_S: np.ndarray
    alive_S: np.ndarray
    nrn_S: np.ndarray

    def most_specific(self) -> np.ndarray:
        """As many alive latents as the set has, highest NRN first: the tuned-specific features by decoder norm."""
        ranked = np.argsort(np.where(self.alive_S, -self.nrn_S, np.inf), kind="stable")
        return np.sort(ranked[: min(len(self.latents), int(self.alive_S.sum()))])


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
        self.towards_tuned = not same_model(state, cfg.tuned)
        self.member = 0 if self.towards_tuned else len(crosscoder.members) - 1
        samples = runner.evaluator.samples
        self.everything = list(range(len(samples)))
        self.test_half = [i for i, s in enumerate(samples) if s.half == "test"]
        choosing = [i for i, s in enumerate(samples) if s.half == "discovery" and s.task in cfg.selection]
        self.stream_Nd = runner.stream_on_goal(choosing, goal)

    def run(self, kind: EditKind) -> pd.DataFrame:
        """All conditions of one kind of edit as rows of the interventions table; empty where the set is empty."""
        if len(self.chosen.latents) == 0:
            return pd.DataFrame()
        selected = [Condition("selected", dose) for dose in self.cfg.doses]
        unit = self._norm(kind, self.chosen.latents)
        curve = self.runner.run(
            selected,
            self._features(kind, [self.chosen.latents] * len(selected), self.cfg.doses),
            self.everything,
            self.goal,
        )
        curve["delta_norm"] = curve["dose"] * unit
        dose = best_dose(curve, self.cfg.selection)
        curve["chosen"] = curve["dose"] == dose
        parts = [curve, *self._controls(kind, dose), self._rivals(dose, dose * unit)]
        table = pd.concat([part for part in parts if len(part)], ignore_index=True)
        return table.assign(procedure=self.cfg.procedure, state=self.state, edit=kind)

    def _rng(self, *names: str) -> np.random.Generator:
        return np.random.default_rng(stream_seed(self.cfg.seed, self.cfg.procedure, *names))

    def _features(self, kind: EditKind, sets: list[np.ndarray], doses: list[float], rotated: bool = False) -> Edits:
        """The edits of C conditions, one set and dose each."""
        mask_CS = torch.zeros(len(sets), self.crosscoder.n_latents, dtype=torch.bool)
        for row, latents in enumerate(sets):
            mask_CS[row, torch.from_numpy(latents)] = True
        direction_Sd, dose_C = directions(self.crosscoder, kind, self.towards_tuned), torch.tensor(doses)
        if kind == "add":
            mean_S = mean_activation(self.completions, self.crosscoder, self.cfg.readout, "selection")
            return VectorEdits(dose_C[:, None] * ((mask_CS * mean_S) @ direction_Sd))
        turn = rotations(len(sets), direction_Sd.shape[1], self._rng(kind, "rotations")) if rotated else (None, None)
        return FeatureEdits(self.crosscoder, self.member, self.cfg.readout, direction_Sd, mask_CS, dose_C, *turn)

    def _norm(self, kind: EditKind, latents: np.ndarray) -> float:
        """Mean length of what a set adds at dose 1 to this model's stream, raw units."""
        edits = self._features(kind, [latents], [1.0])
        return float(edits.vector_Cd.norm()) if isinstance(edits, VectorEdits) else mean_norm(edits, 0, self.stream_Nd)

    def _controls(self, kind: EditKind, dose: float) -> list[pd.DataFrame]:
        """Matched random sets, the set's own change rotated (exchange), and the NRN rival, at the chosen dose."""
        norm_S = directions(self.crosscoder, kind, self.towards_tuned).norm(dim=1).numpy()
        able = np.flatnonzero(
            self.chosen.alive_S & self.crosscoder.free_S.numpy() if kind == "exchange" else self.chosen.alive_S
        )
        matched = matched_sets(
            self.chosen.frequency_S, norm_S, self.chosen.latents, able, self.cfg.random_sets, self._rng(kind, "matched")
        )
        parts = [self._matched(kind, dose, matched)] if matched else []
        specific = self.chosen.most_specific()
        parts.append(self._run_sets([Condition("nrn", dose)], self._features(kind, [specific], [dose])))
        parts[-1]["delta_norm"] = dose * self._norm(kind, specific)
        if kind == "exchange":
            n = self.cfg.random_sets
            edits = self._features(kind, [self.chosen.latents] * n, [dose] * n, rotated=True)
            parts.append(self._run_sets([Condition(f"rotated-{i:02d}", dose) for i in range(n)], edits))
            parts[-1]["delta_norm"] = dose * self._norm(kind, self.chosen.latents)
        return parts

    def _matched(self, kind: EditKind, dose: float, matched: list[MatchedSet]) -> pd.DataFrame:
        conditions = [
            Condition(
                f"random-{i:02d}",
                dose,
                {
                    "match_frequency": m.frequency_ratio,
                    "match_norm": m.norm_ratio,
                    "delta_norm": dose * self._norm(kind, m.latents),
                },
            )
            for i, m in enumerate(matched)
        ]
        return self._run_sets(conditions, self._features(kind, [m.latents for m in matched], [dose] * len(matched)))

    def _rivals(self, dose: float, norm: float) -> pd.DataFrame:
        """Dictionary-free rivals of the same mean norm: the mean shifts, and random directions."""
        sign = 1.0 if self.towards_tuned else -1.0
        shifts = {f"shift-{role}": role_shift(self.completions, role) for role in ("selection", "in_domain")}
        vectors = [rescaled(sign * shift_d, norm) for shift_d in shifts.values()]
        random_Cd = random_directions(
            self.cfg.random_directions, self.stream_Nd.shape[1], norm, self._rng("directions")
        )
        names = [*shifts, *(f"direction-{i:02d}" for i in range(len(random_Cd)))]
        edits = VectorEdits(torch.cat([torch.stack(vectors), random_Cd]))
        return self._run_sets([Condition(name, dose) for name in names], edits).assign(delta_norm=norm)

    def _run_sets(self, conditions: list[Condition], edits: Edits) -> pd.DataFrame:
        return self.runner.run(conditions, edits, self.test_half).assign(chosen=True)


def mean_activation(completions: Completions, crosscoder: "Crosscoder", readout: str, role: str) -> torch.Tensor:
    """fbar_S: mean readout of the tuned model over the completion positions of a role's tasks."""
    tuned_Nd = completions.tuned_Nd[completions.of_role(role)]
    return crosscoder.encode_one(tuned_Nd, len(crosscoder.members) - 1, readout).mean(0)


def same_model(state: str, other: str) -> bool:
    """Whether two states are checkpoints of one model: `rl@1` and `rl`."""
    return state.partition("@")[0] == other.partition("@")[0]


def best_dose(curve: pd.DataFrame, selection: list[str]) -> float:
    """The dose that brings the edited model closest to its goal on the discovery half of the selection tasks.

    Closest by mean KL(goal || edited), over tasks, then doses from small to large: one criterion for enabling and for
    disabling, that a destructive dose cannot win.
    """
    kept = curve[(curve["half"] == "discovery") & curve["task"].isin(selection)]
    by_dose = kept.groupby(["dose", "task"])["kl"].mean().groupby("dose").mean()
    return float(by_dose.idxmin())
