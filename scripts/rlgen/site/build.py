"""The whole site: pages from templates, data beside them in scripts that pages load, nothing from a network."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rlgen.files import canonical_json, move, read_csv, read_parquet, write_text
from rlgen.ledger.verdicts import OVERALL
from rlgen.site.assets import copy_assets, render
from rlgen.site.chunks import LATENTS_PER_CHUNK, chunks
from rlgen.site.columns import FEATURES, PASSAGES, PEAKS, Column, columns_of
from rlgen.site.edits import effect_rows, rival_rows, text_rows
from rlgen.site.evidence import Evidence, Files
from rlgen.site.numbers import link
from rlgen.site.settings import BuildSite, Shown

OF_A_SET = ["latent", "fires", "frequency", "nrn_l1", "cosine", "nu_err", "difference_norm"]


@dataclass(frozen=True)
class Sources:
    """Files that the site is made from. `dictionaries`: folders, in the order of the settings'."""

    dictionaries: list[Path]
    evidence: Files
    effects: Path | None
    comparisons: Path | None
    claims: Path | None


@dataclass(frozen=True)
class Listed:
    """One dictionary, with its table."""

    shown: Shown
    folder: Path
    features: pd.DataFrame
    columns: list[Column]

    @property
    def latents(self) -> int:
        return len(self.features)

    def column(self, key: str) -> list:
        """The values of a column."""
        return next(column.values for column in self.columns if column.key == key)


def build(cfg: BuildSite, sources: Sources, site: Path) -> None:
    """Write the site beside its place and move it there. Raises ArtifactError naming a table that cannot be read."""
    beside = site.with_name(f".{site.name}.partial")  # as deep as the site: its links hold there
    for left in (beside, site):
        shutil.rmtree(left, ignore_errors=True)
    _write(cfg, sources, beside)
    move(beside, site)


def _write(cfg: BuildSite, sources: Sources, site: Path) -> None:
    evidence = Evidence.read(cfg, sources.evidence)
    listed = []
    for shown, folder in zip(cfg.dictionaries, sources.dictionaries, strict=True):
        listed.append(_list(cfg, shown, folder, evidence, site))
        _write_data(cfg, listed[-1], evidence, site)
    copy_assets(site)
    catalogue = _catalogue(cfg, listed, evidence, site)
    write_text(site / "data/catalogue.js", f"site.catalogue({canonical_json(catalogue, only_ascii=True)});\n")
    sets = {name: _sets_of(cfg, name, listed, evidence) for name in cfg.procedures}
    common = {"study": cfg.study, "cfg": cfg, "sets": sets}
    claims = _claims(sources.claims)
    tables = {"sets": evidence.files.sets, "effects": sources.effects, "comparisons": sources.comparisons}
    links = {name: link(path, site) for name, path in (tables | {"claims": sources.claims}).items() if path}
    ordered = sorted(cfg.procedures, key=lambda name: name != cfg.leading)
    page = render("index", **common, listed=_summaries(listed, site), claims=claims, links=links, ordered=ordered)
    write_text(site / "index.html", page)
    write_text(site / "latent.html", render("latent", study=cfg.study))
    effects, comparisons = (read_csv(path) if path else None for path in (sources.effects, sources.comparisons))
    for name in cfg.procedures:
        edited = name in cfg.edited and effects is not None
        page = render(
            "procedure",
            **common,
            name=name,
            links=links,
            effects=effect_rows(effects, name) if edited else [],
            rivals=rival_rows(comparisons, name) if edited else [],
            texts=[(link(path, site), text_rows(evidence.texts[job])) for job, path in _own(cfg, name, evidence)],
        )
        write_text(site / f"procedure-{name}.html", page)


def _own(cfg: BuildSite, procedure: str, evidence: Evidence) -> list[tuple[tuple[str, int], Path]]:
    """The tables of texts of one procedure, a job and a file per seed."""
    return [(job, path) for job, path in zip(cfg.edits(), evidence.files.texts, strict=True) if job[0] == procedure]


def _list(cfg: BuildSite, shown: Shown, folder: Path, evidence: Evidence, site: Path) -> Listed:
    features = read_parquet(folder / FEATURES).sort_values("latent", ignore_index=True)
    peaks = _peaks(read_parquet(folder / PASSAGES, ["latent", "code", "band", "rank", "peak", "tokens"]))
    return Listed(shown, folder, features, columns_of(cfg, shown, folder, features, evidence, peaks, site))


def _peaks(passages: pd.DataFrame) -> dict[int, str]:
    """Latent -> the tokens at the peaks of its strongest passages, most frequent first."""
    top = passages[passages["band"] == "top"].sort_values(["latent", "rank", "code"], kind="stable")
    found: dict[int, Counter[str]] = {}
    for latent, peak, tokens in top[["latent", "peak", "tokens"]].itertuples(index=False):
        found.setdefault(latent, Counter())[tokens[peak].strip() or "␣"] += 1
    return {latent: " ".join(token for token, _ in counts.most_common(PEAKS)) for latent, counts in found.items()}


def _write_data(cfg: BuildSite, listed: Listed, evidence: Evidence, site: Path) -> None:
    """The table of one dictionary, and its latents in chunks, as calls that hand their data to the page."""
    key, folder = canonical_json(listed.shown.key), site / "data" / listed.shown.key
    table = {
        "columns": [column.as_json() for column in listed.columns],
        "values": {column.key: column.values for column in listed.columns},
    }
    write_text(folder / "table.js", f"site.table({key},{canonical_json(table, only_ascii=True)});\n")
    scores, edits = evidence.scores_of(cfg, listed.shown), evidence.alone_of(cfg, listed.shown)
    for number, entries in chunks(listed.folder, listed.features, scores, edits):
        text = f"site.chunk({key},{number},{canonical_json(entries, only_ascii=True)});\n"
        write_text(folder / f"chunk{number:04d}.js", text)


def _catalogue(cfg: BuildSite, listed: Sequence[Listed], evidence: Evidence, site: Path) -> dict:
    """What every page knows: the dictionaries, in order, and the sets."""
    first = cfg.leading and cfg.of_procedure(cfg.leading, cfg.seeds[0])
    entries = [
        {
            "key": one.shown.key,
            "members": one.shown.members,
            "latents": one.latents,
            "folder": link(one.folder, site),
            "course": one.shown.course,
            "sets": {name: evidence.chosen(name, one.shown.seed) for name in cfg.readers(one.shown)},
        }
        for one in listed
    ]
    start = first.key if first else (entries[0]["key"] if entries else None)
    return {"study": cfg.study, "dictionaries": entries, "chunk": LATENTS_PER_CHUNK, "first": start}


def _summaries(listed: Sequence[Listed], site: Path) -> list[dict]:
    """A line per dictionary: members, latents, how many are alive, links to its tables."""
    return [
        {
            "key": one.shown.key,
            "members": ", ".join(one.shown.members),
            "latents": one.latents,
            "alive": sum(one.column("alive")),
            "folder": link(one.folder, site),
        }
        for one in listed
    ]


def _sets_of(cfg: BuildSite, procedure: str, listed: Sequence[Listed], evidence: Evidence) -> list[dict]:
    """A procedure's set in every seed: what is known of it as a whole, and a row per latent."""
    found = []
    for seed in cfg.seeds:
        wanted, row = cfg.of_procedure(procedure, seed), evidence.set_row(procedure, seed)
        one = next((entry for entry in listed if entry.shown == wanted), None)
        if one is None or row is None:
            continue
        scores = [c for c in one.columns if c.key.startswith(f"{procedure}:")]
        columns = [c for c in one.columns if c.key in OF_A_SET] + scores
        latents = evidence.chosen(procedure, seed)
        found.append(
            {
                "seed": seed,
                "key": one.shown.key,
                "columns": [column.as_json() for column in columns],
                "rows": [{column.key: column.values[latent] for column in columns} for latent in latents],
                "carried": row["carried_share"],
                "critical": int(row["critical"]),
                "note": None if pd.isna(row["note"]) else row["note"],
            }
        )
    return found


def _claims(path: Path | None) -> list[dict]:
    """Verdicts over all seeds."""
    if path is None:
        return []
    table = read_csv(path)
    return table[table["seed"].astype(str) == OVERALL].to_dict("records")
