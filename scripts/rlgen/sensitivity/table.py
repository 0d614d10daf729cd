"""The table of one variant in one seed: everything that the page of the sensitivity study is made from."""

from typing import Literal

import pandas as pd
from pydantic import Field

from rlgen.activations.completions import Completions
from rlgen.interventions.mean_change import Found
from rlgen.ledger.settings import Claim
from rlgen.names import Readout
from rlgen.sensitivity.effects import Edited, Judging, effect_rows
from rlgen.sensitivity.found import Samples, found_rows, quality_rows
from rlgen.strict import Strict

COLUMNS = ["factor", "variant", "seed", "quantity", "state", "role", "metric", "rival", "form", "claim"]
COLUMNS += ["value", "lo", "hi", "chance", "chance_lo", "chance_hi", "p", "note"]


class MeasureSensitivity(Strict):
    """The slice that `scripts/sensitivity/measure_sensitivity.py` receives."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    variant: str
    factor: str
    readouts: tuple[Readout, Readout] = Field(description="the variant's, the main one's")
    critical: Literal["gained", "lost"] = Field(description="samples on which the main procedure chooses")
    tasks: list[str] = Field(min_length=1, description="selection tasks")
    same_cosine: float = Field(gt=0, le=1)
    reference: str
    target: str
    bootstrap: int = Field(ge=1)
    claims: dict[str, Claim] = Field(description="claims on the main procedure that tables of edits can tell")


def sensitivity_table(
    cfg: MeasureSensitivity,
    found: tuple[Found, Found],
    edited: tuple[Edited, Edited],
    completions: Completions,
    steering: pd.DataFrame,
    quality: pd.DataFrame,
) -> pd.DataFrame:
    """COLUMNS. `found` and `edited` are of the variant and of the main procedure, of one seed."""
    samples = Samples.of(completions, cfg.tasks, cfg.critical)
    judging = Judging(cfg.reference, cfg.target, cfg.seed, cfg.bootstrap, cfg.claims)
    rows = [*quality_rows(quality), *found_rows(*found, completions, samples, cfg.same_cosine, cfg.seed)]
    rows += effect_rows(*edited, steering, len(found[0].chosen.latents), judging)
    table = pd.DataFrame(rows).assign(factor=cfg.factor, variant=cfg.variant, seed=cfg.seed)
    return table.reindex(columns=COLUMNS)
