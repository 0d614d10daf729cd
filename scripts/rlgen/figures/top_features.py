"""The features that a procedure's set begins with, and the texts on which they fire most: table 4.

A set is in the order of the score that chose it. (docs/method.md, sections 5 and 7.)
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rlgen.figures.forms import END, TYPEWRITER, UNDERLINE
from rlgen.figures.page import Page, members, read
from rlgen.tables import ROLE_MEAN, stacked

TABLES = {  # table -> its columns
    "sets": ["procedure", "seed", "task", "critical", "latents", "note"],
    "scores": ["procedure", "seed", "population", "task", "latent", "score_name", "score_share"],
    "features": ["recipe", "seed", "latent", "frequency", "nrn_l1", "cosine"],
}
CONTEXT_COLUMNS = ["latent", "member", "rank", "activation", "text", "token"]
TEXTS = 3  # different texts of a feature in the LaTeX table
NOTE = (
    "Features of the set of {procedure}, in the order of its choice, up to {shown} per seed. Share: of a task's "
    "{score} scores, mean over selection tasks with critical samples. Frequency: share of held-out rows on which it "
    "fires. Activation by the named model's own code; the {texts} strongest texts that differ, of all models; "
    "underlined: the token at which it fires. What cannot be printed stands as in Python. Letters beyond Latin need "
    "XeLaTeX or LuaLaTeX."
)
FORM = {"columns": "lrrrrrrlrp{9cm}", "long": True}  # of the LaTeX table


class Settings(Page):
    """`procedure`: whose set is shown, read by a dictionary of `recipe`; `score`: what its tasks' lists are made by.

    `shown`: features per seed.
    """

    seeds: list[int]
    procedure: str
    recipe: str
    score: str
    shown: int

    @property
    def note(self) -> str:
        """What the cells mean."""
        return NOTE.format(procedure=self.procedure, shown=self.shown, score=self.score, texts=TEXTS)


def read_contexts(paths: Sequence[Path], seeds: Sequence[int]) -> pd.DataFrame:
    """The contexts of one dictionary per seed, in the order of the seeds, as one table."""
    return stacked([read(path, CONTEXT_COLUMNS) for path in paths], [{"seed": seed} for seed in seeds])


def table4(
    page: Settings, sets: pd.DataFrame, scores: pd.DataFrame, features: pd.DataFrame, contexts: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first features of every seed's set: (a row per context with every number; the strongest texts, marked).

    A seed without a set has a row that says why.
    """
    own = sets[sets["procedure"] == page.procedure]
    places = [
        (seed, place, latent)
        for seed in page.seeds
        for place, latent in enumerate(members(own, seed)[: page.shown], start=1)
    ]
    top = pd.DataFrame(places, columns=["seed", "place", "latent"], dtype=int)
    known = features.loc[features["recipe"] == page.recipe, ["seed", "latent", "frequency", "nrn_l1", "cosine"]]
    texts = contexts.merge(top[["seed", "latent"]]).sort_values("activation", ascending=False, kind="stable")
    texts = texts.assign(text=texts["text"].map(readable), token=texts["token"].map(readable))
    tidy = top.merge(_shares(page, own, scores, top), how="left").merge(known, how="left").merge(texts, how="left")
    whole = own[(own["task"] == ROLE_MEAN) & own["seed"].isin(set(page.seeds) - set(top["seed"]))]
    tidy = pd.concat([tidy, whole[["seed", "note"]]]).sort_values("seed", kind="stable").reset_index(drop=True)
    return tidy, pd.DataFrame(_lines(tidy))


def _shares(page: Settings, own: pd.DataFrame, scores: pd.DataFrame, top: pd.DataFrame) -> pd.DataFrame:
    """seed, latent, share: of the tasks' scores on critical samples, mean over the tasks that have some."""
    asked = own.loc[(own["task"] != ROLE_MEAN) & (own["critical"] > 0), ["seed", "task"]]
    rows = scores[(scores["procedure"] == page.procedure) & (scores["population"] == "critical")]
    rows = rows[rows["score_name"] == page.score].merge(top[["seed", "latent"]]).merge(asked)
    rows = rows.rename(columns={"score_share": "share"})
    return rows.groupby(["seed", "latent"], as_index=False)["share"].mean()


def readable(text: str) -> str:
    r"""The text on one line: what cannot be printed stands as Python writes it, such as `\n`."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def marked(text: str, token: str) -> str:
    """A text whose last token, at which the latent fires, is underlined.

    A token that only ends a character, begun by the token before it, is underlined with the whole character.
    """
    size = len(token) if token and text.endswith(token) else len(token.lstrip("\ufffd")) + 1
    at = max(0, len(text) - size)
    return f"{TYPEWRITER}{text[:at]}{UNDERLINE}{text[at:]}{END}{END}"


def _lines(tidy: pd.DataFrame) -> list[dict[str, str]]:
    """Of every feature its numbers once, and a line per text."""
    lines = []
    for (seed, place), cells in tidy.groupby(["seed", "place"], dropna=False):
        if pd.isna(place):
            note = cells["note"].iloc[0]
            lines.append(_line(seed=f"{seed:d}", text=note if isinstance(note, str) else "the set is empty"))
            continue
        feature = cells.iloc[0]
        numbers = {"seed": f"{seed:d}", "place": f"{place:.0f}", "latent": f"{feature['latent']:.0f}"}
        numbers |= {"share": f"{feature['share']:.3f}", "frequency": f"{feature['frequency']:.2g}"}
        numbers |= {"NRN": f"{feature['nrn_l1']:.2f}"}
        # a latent of one model alone has no second decoder to have a cosine with
        numbers["cosine"] = "–" if pd.isna(feature["cosine"]) else f"{feature['cosine']:.2f}"
        fired = cells.dropna(subset="rank").drop_duplicates("text").head(TEXTS)
        for r in fired.itertuples():
            said = {"model": r.member, "activation": f"{r.activation:.1f}", "text": marked(r.text, r.token)}
            lines.append(_line(**numbers, **said))
            numbers = {}
        if fired.empty:
            lines.append(_line(**numbers, text="fires on no held-out row"))
    return lines


def _line(**cells: str) -> dict[str, str]:
    columns = ["seed", "place", "latent", "share", "frequency", "NRN", "cosine", "model", "activation", "text"]
    return dict.fromkeys(columns, "") | cells
