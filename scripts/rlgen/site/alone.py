"""Real edits for the pages: what each latent of a set does alone, and what the edited model then writes.

Both at the dose that was chosen for the whole set, on the first test prompts of every task: pages show single
cases, the study's numbers come from all prompts (`rlgen.interventions.procedure`).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from rlgen.activations.completions import Completions
from rlgen.files import ArtifactError, read_parquet
from rlgen.interventions.edits import EditKind
from rlgen.interventions.procedure import Chosen, ProcedureEffects, first_prompts, moves_away
from rlgen.interventions.rivals import Rival
from rlgen.interventions.runner import Condition
from rlgen.interventions.settings import Intervening
from rlgen.interventions.subjects import Bench
from rlgen.site.evidence import ALONE_COLUMNS, TEXT_COLUMNS
from rlgen.site.settings import LATENTS, PROMPTS, TEXTS
from rlgen.tables import UNEDITED

if TYPE_CHECKING:
    from rlgen.dictionaries.crosscoder import Crosscoder


class EffectsAlone(ProcedureEffects):
    """Edits of one running model by single latents of a procedure's set."""

    def alone(self, kind: EditKind, dose: float, latents: list[int]) -> pd.DataFrame:
        """One row per latent and task: see `ALONE_COLUMNS`.

        Changes are against the unedited model on the same prompts; kl is the distance from the model that the edit aims
        at, nats per token of its completions.
        """
        samples = first_prompts(self.runner.evaluator.samples, "test", PROMPTS)
        conditions = [Condition(str(latent), dose) for latent in latents]
        rivals = [Rival(str(latent), np.array([latent])) for latent in latents]
        edits = self.mechanics(kind).edits(rivals, [dose] * len(rivals))
        rows = self.runner.run(conditions, edits, samples, self.goal)
        plain = self.runner.run([Condition(UNEDITED, 0.0)], None, samples, self.goal)
        keys = ["role", "task"]
        before = plain.groupby(keys, sort=False).agg(accuracy_before=("correct", "mean"), kl_before=("kl", "mean"))
        found = rows.groupby(["set", *keys], sort=False).agg(
            n=("correct", "size"), accuracy=("correct", "mean"), kl=("kl", "mean")
        )
        found = found.reset_index().join(before, on=keys)
        return pd.DataFrame(
            found.assign(
                latent=found["set"].astype(int),
                rank=found["set"].map({str(latent): place for place, latent in enumerate(latents, start=1)}),
                accuracy_change=found["accuracy"] - found["accuracy_before"],
                kl_change=found["kl"] - found["kl_before"],
                edit=kind,
                dose=dose,
                state=self.state,
            )[ALONE_COLUMNS]
        ).sort_values(["rank"], kind="stable", ignore_index=True)

    def written(self, kind: EditKind, dose: float) -> pd.DataFrame:
        """What the model writes after the same prompts without and with the whole set's edit: see `TEXT_COLUMNS`."""
        evaluator = self.runner.evaluator
        samples = first_prompts(evaluator.samples, "test", TEXTS)
        rows_R = torch.tensor(samples)
        edits = self.mechanics(kind).edits([Rival("selected", self.chosen.latents)], [dose])
        hook = self.runner.hook(edits, 1, len(samples))
        before, after = (evaluator.score(self.runner.model, rows_R, given) for given in (None, hook))
        rows = [
            (self.state, kind, dose, s.role, s.task, s.sample, s.prompt, s.answer, *texts, *map(bool, right))
            for s, texts, right in zip(
                [evaluator.samples[i] for i in samples],
                zip(before.completions, after.completions, strict=True),
                zip(before.correct_B, after.correct_B, strict=True),
                strict=True,
            )
        ]
        return pd.DataFrame(rows, columns=TEXT_COLUMNS)


def by_importance(set_file: Path) -> list[int]:
    """The first latents of a set. Raises ArtifactError naming a file that is none."""
    try:
        found = json.loads(set_file.read_text(encoding="utf-8"))
        return [int(latent) for latent in found["latents"][:LATENTS]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(set_file, f"not a mediating set ({error!r})") from error


def chosen_doses(interventions: Path) -> dict[tuple[str, str], float]:
    """(state, edit) -> the dose that was chosen for the whole set; those that were refused are not there."""
    table = read_parquet(interventions, ["state", "edit", "set", "form", "dose", "chosen"])
    rows = table[(table["set"] == "selected") & (table["form"] == "own_dose") & table["chosen"].astype(bool)]
    return rows.drop_duplicates(["state", "edit"]).set_index(["state", "edit"])["dose"].to_dict()


def edit_alone(
    cfg: Intervening,
    crosscoder: "Crosscoder",
    chosen: Chosen,
    latents: list[int],
    doses: dict[tuple[str, str], float],
    completions: Completions,
    bench: Bench,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every edit that was made of every state: (rows of `ALONE_COLUMNS`, rows of `TEXT_COLUMNS`)."""
    alone, written = [pd.DataFrame(columns=ALONE_COLUMNS)], [pd.DataFrame(columns=TEXT_COLUMNS)]
    for state, kinds in cfg.edits.items():
        made = [kind for kind in kinds if (state, kind) in doses]
        if not made:
            continue
        goal = bench.goal(cfg.reference if moves_away(cfg, state) else cfg.tuned)
        effects = EffectsAlone(cfg, crosscoder, chosen, completions, bench.runner(state), state, goal)
        alone += [effects.alone(kind, doses[state, kind], latents) for kind in made]
        written += [effects.written(kind, doses[state, kind]) for kind in made]
    return _joined(alone), _joined(written)


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(filled, ignore_index=True)
