"""The columns of the table of latents: what each says, and the file that its numbers come from."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rlgen.site.evidence import Evidence
from rlgen.site.numbers import link, shorts
from rlgen.site.settings import BuildSite, Shown

STATISTICS = {  # column of features.parquet -> title, what it says
    "frequency": ("frequency", "share of held-out tokens on which the latent fires"),
    "nrn_l1": ("NRN", "the last model's share of the first and the last one's decoder norms (L1): .5 is shared"),
    "cosine": ("cosine", "between the decoders of the first and the last model"),
    "nu_err": (
        "nu",
        "share that the first model has of it, by latent scaling: near 0 the last one's alone, 1 shared",
    ),
    "difference_norm": ("difference", "length of what one unit of an exchange adds, units of the residual stream"),
}
FEATURES, PASSAGES = "features.parquet", "inspection/passages.parquet"
PEAKS = 3  # tokens shown of a latent


@dataclass(frozen=True)
class Column:
    """One column: `values` in the order of the latents."""

    key: str
    title: str
    says: str
    source: str  # link to the file
    values: list

    def as_json(self) -> dict:
        """All of it but the values."""
        return {"key": self.key, "title": self.title, "says": self.says, "source": self.source}


def columns_of(
    cfg: BuildSite,
    shown: Shown,
    folder: Path,
    features: pd.DataFrame,
    evidence: Evidence,
    peaks: dict[int, str],
    site: Path,
) -> list[Column]:
    """Every column of one dictionary's table. `peaks`: latent -> tokens at which it fires most."""
    own, latents = link(folder / FEATURES, site), features["latent"].tolist()
    found = [
        Column("latent", "latent", "number of the latent in its dictionary", own, latents),
        Column(
            "fires",
            "fires on",
            "tokens at the peaks of its strongest passages",
            link(folder / PASSAGES, site),
            [peaks.get(latent, "") for latent in latents],
        ),
        Column("alive", "alive", "fires on enough held-out tokens to be judged", own, features["alive"].tolist()),
    ]
    found += _sets(cfg, shown, len(latents), evidence, site)
    found += [Column(key, *words, own, shorts(features[key])) for key, words in STATISTICS.items()]
    for m, member in enumerate(shown.members if len(shown.members) > 2 else ()):
        says = f"{member}'s share of the decoder norm (L1)"
        found.append(Column(f"mas_l1_{m}", f"MAS {member}", says, own, shorts(features[f"mas_l1_{m}"])))
    found += _alone(cfg, shown, len(latents), evidence, site)
    return found + _selectors(cfg, shown, len(latents), evidence, site)


def _selectors(cfg: BuildSite, shown: Shown, latents: int, evidence: Evidence, site: Path) -> list[Column]:
    """The score of every latent under every selector: mean share over the selection tasks, or a joint ranking."""
    scores, found = evidence.scores_of(cfg, shown), []
    for procedure in cfg.readers(shown):
        ranking = evidence.ranking_of(procedure, shown.seed)
        if ranking is not None:
            path = evidence.files.joint[cfg.joint().index((procedure, shown.seed))]
            title = f"{procedure}: joint rank"
            says = f"rank over all selection tasks together, by {procedure}: 1 is kept longest"
            values = _spread(ranking, "score", latents)
            found.append(Column(f"{procedure}:joint", title, says, link(path, site), values))
        # A task without critical samples scores nothing, and the set's own mean leaves it out, too.
        asked = scores["task"].isin(evidence.tasks_with_samples(procedure, shown.seed))
        own = scores[(scores["procedure"] == procedure) & asked]
        for name, rows in own.groupby("score_name", sort=True):
            mean = rows.groupby("latent", as_index=False)["score_share"].mean()
            title = f"{procedure}: {name}"
            says = f"mean over selection tasks of the latent's share of the score '{name}', critical samples"
            values = _spread(mean, "score_share", latents)
            found.append(Column(f"{procedure}:{name}", title, says, link(evidence.files.scores, site), values))
    return found


def _alone(cfg: BuildSite, shown: Shown, latents: int, evidence: Evidence, site: Path) -> list[Column]:
    """What real edits by one latent do, in the first state and edit that a procedure lists; latents of sets alone."""
    found, measures = [], {"accuracy_change": "accuracy", "kl_change": "KL"}
    for procedure in cfg.readers(shown):
        table = evidence.alone.get((procedure, shown.seed))
        if table is None or table.empty:
            continue
        path = evidence.files.alone[cfg.edits().index((procedure, shown.seed))]
        state, edit = table[["state", "edit"]].iloc[0]
        rows = table[(table["state"] == state) & (table["edit"] == edit) & (table["role"] == "selection")]
        for column, name in measures.items():
            mean = rows.groupby("latent", as_index=False)[column].mean()
            title = f"{procedure}: alone, {name}"
            says = (
                f"change of {name} by the edit '{edit}' of {state} through this latent alone, mean over selection tasks"
            )
            key = f"{procedure}:alone-{name}"
            found.append(Column(key, title, says, link(path, site), _spread(mean, column, latents)))
    return found


def _spread(rows: pd.DataFrame, column: str, latents: int) -> list[float | None]:
    """Values of some latents in a list of all."""
    values = np.full(latents, np.nan)
    values[rows["latent"].to_numpy(dtype=int)] = rows[column].to_numpy(dtype=float)
    return shorts(values.tolist())


def _sets(cfg: BuildSite, shown: Shown, latents: int, evidence: Evidence, site: Path) -> list[Column]:
    if not cfg.readers(shown) or evidence.files.sets is None:
        return []
    member: dict[int, list[str]] = defaultdict(list)
    for procedure in cfg.readers(shown):
        for latent in evidence.chosen(procedure, shown.seed):
            member[latent].append(procedure)
    values = [", ".join(member.get(latent, ())) for latent in range(latents)]
    says = "procedures whose mediating set it belongs to"
    return [Column("sets", "in the set of", says, link(evidence.files.sets, site), values)]
