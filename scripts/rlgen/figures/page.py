"""What every page knows about its study, and how tidy tables are read."""

from pathlib import Path

import pandas as pd
from pydantic import Field

from rlgen.figures.settings import Published
from rlgen.files import ArtifactError, read_parquet, with_columns
from rlgen.interventions.settings import Procedure
from rlgen.strict import Strict
from rlgen.tasks.settings import TaskRoles

OWN_DOSE, AS_LONG = "own_dose", "equal_norm"  # forms of a rival: at its own dose; as long as what the set adds
SHIFT, SHIFT_IN_DOMAIN = "shift-selection", "shift-in_domain"  # rivals: mean shifts between the models
ROLE_TITLES = {
    "in_domain": "in-domain",
    "selection": "out-of-domain, selection tasks",
    "unseen": "out-of-domain, unseen tasks",
}


class Roles(Strict):
    """The models a page compares, by the part they play."""

    reference: str
    target: str
    contrast: str | None = None

    def models(self) -> list[str]:
        """Models in the order of every page: reference, contrast (if any), target."""
        return [m for m in (self.reference, self.contrast, self.target) if m is not None]


class Page(Strict):
    """Settings common to all figures and tables."""

    study: str
    roles: Roles


class TasksPage(Page):
    """Settings of a page that lists tasks."""

    tasks: TaskRoles

    def task_roles(self) -> list[str]:
        """Task roles that have at least one task."""
        return [role for role in ROLE_TITLES if getattr(self.tasks, role)]


def read(path: str | Path, columns: list[str]) -> pd.DataFrame:
    """Read a tidy table (.csv or .parquet) that must hold `columns`; raises ArtifactError naming what is missing.

    In CSV only an empty field is a missing value: names such as "null" stay names.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        table = read_parquet(path)
    else:
        try:
            table = pd.read_csv(path, keep_default_na=False, na_values=[""])
        except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise ArtifactError(path, f"not a readable CSV table ({error})") from error
    return with_columns(table, columns, path)


def read_all(paths: list[Path], columns: list[str]) -> pd.DataFrame:
    """Several tables of the same columns as one, in the order given."""
    empty = pd.DataFrame(columns=columns)
    return pd.concat([read(path, columns) for path in paths], ignore_index=True) if paths else empty


def seeds_of(table: pd.DataFrame) -> list[int]:
    """The seeds of a table, sorted."""
    return sorted(int(s) for s in table["seed"].dropna().unique())


def members(sets: pd.DataFrame, seed: int) -> list[int]:
    """Latents of a seed's mediating set, in its order. `sets`: rows of one procedure."""
    text = sets.loc[(sets["seed"] == seed) & (sets["task"] == "ALL"), "latents"].dropna().astype(str)
    return [int(float(number)) for line in text for number in line.split()]


def prompts(rows: pd.DataFrame, role: str) -> str:
    """How many prompts the rows of a role are about: `750`, `150/750` where they differ, `0` without rows."""
    return "/".join(str(int(n)) for n in sorted(rows.loc[rows["role"] == role, "n"].unique())) or "0"


def final_checkpoints(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of every model's last checkpoint."""
    return table[table["checkpoint"] == table.groupby("model")["checkpoint"].transform("max")]


class ProceduresPage(Page):
    """`procedures`: how features were chosen and which edits were made; `leading`: the one that titles are about."""

    procedures: dict[str, Procedure]
    leading: str | None = None

    def leading_first(self) -> list[str]:
        """The procedures in the order of rows on a page."""
        return sorted(self.procedures, key=lambda name: name != self.leading)


class Settings(ProceduresPage):
    """`states`: the models shown, in order.

    `published` values of these `tasks` are drawn where a study repeats a paper's.
    """

    states: list[str]
    published: Published | None = None
    tasks: list[str] = Field(default_factory=list)
