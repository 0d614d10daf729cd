"""The study's tables about procedures, cut into what belongs to one dictionary."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rlgen.files import read_csv, read_parquet, with_columns
from rlgen.names import CRITICAL
from rlgen.site.settings import BuildSite, Shown
from rlgen.tables import ROLE_MEAN

SCORE_COLUMNS = ["procedure", "seed", "task", "latent", "score_name", "score", "kept", "score_share", "population"]
SET_COLUMNS = ["procedure", "seed", "task", "size", "critical", "carried_share", "latents", "note"]
ALONE_COLUMNS = ["state", "edit", "dose", "latent", "rank", "role", "task", "n"]
ALONE_COLUMNS += ["accuracy", "accuracy_change", "kl", "kl_change"]
TEXT_COLUMNS = ["state", "edit", "dose", "role", "task", "sample", "prompt", "answer", "before", "after"]
TEXT_COLUMNS += ["right_before", "right_after"]


@dataclass(frozen=True)
class Files:
    """Where the tables lie; None where the study has no procedures."""

    scores: Path | None
    sets: Path | None
    joint: list[Path]  # rankings over all tasks, in the order of `BuildSite.joint`
    alone: list[Path]  # edits by single latents, in the order of `BuildSite.edits`
    texts: list[Path]  # completions before and after edits, in the same order


@dataclass
class Evidence:
    """Scores, sets and rankings of all procedures and seeds."""

    files: Files
    scores: pd.DataFrame
    sets: pd.DataFrame
    joint: dict[tuple[str, int], pd.DataFrame]
    alone: dict[tuple[str, int], pd.DataFrame]
    texts: dict[tuple[str, int], pd.DataFrame]

    @classmethod
    def read(cls, cfg: BuildSite, files: Files) -> "Evidence":
        """Read everything. Raises ArtifactError naming a file that cannot be read or lacks a column."""
        scores = with_columns(read_parquet(files.scores), SCORE_COLUMNS, files.scores) if files.scores else None
        sets = with_columns(read_csv(files.sets), SET_COLUMNS, files.sets) if files.sets else None
        rankings = [with_columns(read_parquet(p), ["population", "latent", "score"], p) for p in files.joint]
        return cls(
            files,
            pd.DataFrame(columns=SCORE_COLUMNS) if scores is None else scores[scores["population"] == CRITICAL],
            pd.DataFrame(columns=SET_COLUMNS) if sets is None else sets,
            dict(zip(cfg.joint(), rankings, strict=True)),
            _by_job(cfg, files.alone, ALONE_COLUMNS),
            _by_job(cfg, files.texts, TEXT_COLUMNS),
        )

    def scores_of(self, cfg: BuildSite, shown: Shown) -> pd.DataFrame:
        """Scores on critical samples by all procedures that read a dictionary."""
        table = self.scores
        return table[(table["seed"] == shown.seed) & table["procedure"].isin(cfg.readers(shown))]

    def alone_of(self, cfg: BuildSite, shown: Shown) -> dict[str, pd.DataFrame]:
        """Procedure that reads a dictionary -> its edits by single latents."""
        jobs = {name: (name, shown.seed) for name in cfg.readers(shown)}
        return {name: self.alone[job] for name, job in jobs.items() if job in self.alone}

    def ranking_of(self, procedure: str, seed: int) -> pd.DataFrame | None:
        """latent and score of a ranking over all tasks, on critical samples; None where tasks score apart."""
        table = self.joint.get((procedure, seed))
        return None if table is None else table[table["population"] == CRITICAL]

    def chosen(self, procedure: str, seed: int) -> list[int]:
        """The mediating set, most important first."""
        row = self.set_row(procedure, seed)
        return [] if row is None or pd.isna(row["latents"]) else [int(k) for k in str(row["latents"]).split()]

    def tasks_with_samples(self, procedure: str, seed: int) -> list[str]:
        """Selection tasks that have critical samples."""
        table = self.sets[(self.sets["procedure"] == procedure) & (self.sets["seed"] == seed)]
        return [task for task in table.loc[table["critical"] > 0, "task"] if task != ROLE_MEAN]

    def set_row(self, procedure: str, seed: int) -> pd.Series | None:
        """What is known of the mediating set as a whole."""
        table = self.sets
        found = table[(table["procedure"] == procedure) & (table["seed"] == seed) & (table["task"] == ROLE_MEAN)]
        return None if found.empty else found.iloc[0]


def _by_job(cfg: BuildSite, files: list[Path], columns: list[str]) -> dict[tuple[str, int], pd.DataFrame]:
    tables = [with_columns(read_parquet(path), columns, path) for path in files]
    return dict(zip(cfg.edits(), tables, strict=True))
