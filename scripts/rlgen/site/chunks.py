"""What the page of a latent shows, in chunks of latents: a page loads the chunk that holds its latent and no other."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rlgen.files import ArtifactError, first_line
from rlgen.site.numbers import short, shorts

LATENTS_PER_CHUNK = 64
INSPECTED = ("passages", "density", "neighbours", "lens")  # tables of `inspect_latents`


class ByLatent:
    """A Parquet table sorted by latent, of which a few latents' rows are taken at a time."""

    def __init__(self, path: Path) -> None:
        """Raises ArtifactError naming a file that cannot be read or has no latents."""
        try:
            self.table = pq.read_table(path)
            self.latents = self.table["latent"].to_numpy()
        except (OSError, pa.ArrowException, KeyError) as error:
            raise ArtifactError(path, f"not a readable table of latents ({first_line(error)})") from error

    def rows(self, first: int, end: int) -> dict[int, list[dict]]:
        """Latent -> its rows, for latents from `first` to before `end`."""
        lo, hi = self.latents.searchsorted([first, end])
        found: dict[int, list[dict]] = defaultdict(list)
        for row in self.table.slice(lo, hi - lo).to_pylist():
            found[row["latent"]].append(row)
        return found


def chunks(
    folder: Path, features: pd.DataFrame, scores: pd.DataFrame, alone: dict[str, pd.DataFrame]
) -> Iterator[tuple[int, dict[str, dict]]]:
    """(number of the chunk, latent as text -> what its page shows) of one dictionary.

    `features`: its latents in order; `scores`: theirs on critical samples; `alone`: procedure -> edits by one
    latent each.
    """
    norms = features[[name for name in features if name.startswith("decoder_norm_")]].to_numpy()
    latents = len(features)
    tables = {name: ByLatent(folder / f"inspection/{name}.parquet") for name in INSPECTED}
    scores = scores.sort_values(["latent", "procedure", "score_name"], kind="stable")
    of_edits = _alone(alone)
    scored = scores["latent"].to_numpy(dtype=int)
    for number, first in enumerate(range(0, latents, LATENTS_PER_CHUNK)):
        end = min(first + LATENTS_PER_CHUNK, latents)
        rows = {name: table.rows(first, end) for name, table in tables.items()}
        lo, hi = scored.searchsorted([first, end])
        of_scores = _scores(scores.iloc[lo:hi])
        yield (
            number,
            {
                str(latent): {
                    "passages": [_passage(row) for row in rows["passages"].get(latent, ())],
                    "density": next(map(_density, rows["density"].get(latent, ())), None),
                    "neighbours": _neighbours(rows["neighbours"].get(latent, ())),
                    "lens": _lens(rows["lens"].get(latent, ())),
                    "norms": shorts(norms[latent]),
                    "alone": of_edits.get(latent, []),
                    "scores": of_scores.get(latent, []),
                }
                for latent in range(first, end)
            },
        )


def _passage(row: dict) -> dict:
    kept = {name: row[name] for name in ("code", "band", "rank", "sequence", "position", "peak", "tokens")}
    return kept | {"values": shorts(row["values"])}


def _density(row: dict) -> dict:
    return {"largest": short(row["largest"]), "counts": row["counts"]}


def _neighbours(rows: list[dict]) -> dict[str, list]:
    found: dict[str, list] = {"decoder": [], "firing": [], "course": []}
    for row in rows:
        found[row["by"]].append([row["other"], short(row["value"])])
    return found


def _lens(rows: list[dict]) -> dict[str, dict[str, list]]:
    found: dict[str, dict[str, list]] = {}
    for row in rows:
        found.setdefault(row["of"], {"promoted": [], "suppressed": []})[row["side"]].append(
            [row["token"], short(row["logit"])]
        )
    return found


def _alone(tables: dict[str, pd.DataFrame]) -> dict[int, list]:
    """Latent -> [procedure, state, edit, dose, task, prompts, accuracy, its change, KL, its change] of its edits."""
    found: dict[int, list] = defaultdict(list)
    columns = ["latent", "state", "edit", "dose", "task", "n", "accuracy", "accuracy_change", "kl", "kl_change"]
    for procedure, table in tables.items():
        for latent, state, edit, dose, task, n, *values in table[columns].itertuples(index=False):
            found[int(latent)].append([procedure, state, edit, float(dose), task, int(n), *shorts(values)])
    return found


def _scores(rows: pd.DataFrame) -> dict[int, list]:
    """Latent -> [procedure, score, task, value, share, kept] of each of its scores that is not zero."""
    found: dict[int, list] = defaultdict(list)
    columns = ["latent", "procedure", "score_name", "task", "score", "score_share", "kept"]
    for latent, procedure, name, task, score, share, kept in rows[columns].itertuples(index=False):
        if score:
            found[int(latent)].append([procedure, name, task, short(score), short(share), bool(kept)])
    return found
