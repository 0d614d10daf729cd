"""Tables of an invented study with one dictionary, as the site reads them: numbers of a fixed rule, hostile texts."""

from pathlib import Path

import numpy as np
import pandas as pd

from rlgen.files import write_csv, write_parquet
from rlgen.site.build import Sources
from rlgen.site.evidence import Files
from rlgen.site.firings import BINS
from rlgen.site.settings import BuildSite

HOSTILE = "<script>document.title='run'</script>"
TOKENS = [" the", " cat", HOSTILE, "\n", " é", "</script>", " &amp;"]
KEY = "pair/plain/seed0"
SET = [5, 3, 70]
TASKS = {"sum": 5, "sort": 4, "none": 0}  # critical samples: a task without scores nothing


def cfg(members: list[str]) -> BuildSite:
    """Settings of a study with one dictionary and one procedure that reads it."""
    procedure = {"dictionary": "pair", "recipe": "plain", "score": "contribution", "edits": {"base": ["exchange"]}}
    return BuildSite.model_validate(
        {
            "study": "invented",
            "seeds": [0],
            "dictionaries": [{"dictionary": "pair", "recipe": "plain", "seed": 0, "members": members, "course": KEY}],
            "procedures": {"main": procedure},
            "leading": "main",
            "edited": ["main"],
        }
    )


def write(
    results: Path, latents: int = 130, members: tuple[str, ...] = ("base@1", "rl@5")
) -> tuple[BuildSite, Sources]:
    """All tables below `results`; latent 1 is dead. What `build` takes."""
    folder, mediation, edits = (
        results / f"dictionaries/{KEY}",
        results / "features/mediation",
        results / "interventions",
    )
    write_parquet(folder / "features.parquet", features(latents, len(members)))
    write_csv(folder / "quality.csv", pd.DataFrame({"member": list(members), "fve": 0.9}))
    write_parquet(folder / "contexts.parquet", pd.DataFrame({"latent": [0], "text": [HOSTILE]}))
    for name, table in inspected(latents, members).items():
        write_parquet(folder / f"inspection/{name}.parquet", table)
    write_parquet(mediation / "scores.parquet", scores(latents))
    row = {"procedure": "main", "seed": 0, "task": "ALL", "size": 3, "critical": 9, "carried_share": 0.5}
    tasks = [row | {"task": task, "critical": n, "latents": ""} for task, n in TASKS.items()]
    whole = row | {"latents": " ".join(map(str, SET))}
    write_csv(mediation / "sets.csv", pd.DataFrame([whole, *tasks]).assign(note=None))
    write_csv(edits / "effects.csv", effects())
    write_csv(edits / "comparisons.csv", comparisons())
    write_parquet(edits / "main/seed0.alone.parquet", alone())
    write_parquet(edits / "main/seed0.texts.parquet", texts())
    single = [edits / f"main/seed0.{name}.parquet" for name in ("alone", "texts")]
    files = Files(mediation / "scores.parquet", mediation / "sets.csv", [], single[:1], single[1:])
    return cfg(list(members)), Sources([folder], files, edits / "effects.csv", edits / "comparisons.csv", None)


def features(latents: int, members: int) -> pd.DataFrame:
    """NRN of latent k is k / latents; latent 1 never fires."""
    k = np.arange(latents)
    alive, share = k != 1, k / latents
    table = {"latent": k, "alive": alive, "free": True, "firings": 100 * alive, "frequency": 0.01 * alive}
    table |= {"nrn_l1": share, "cosine": np.where(alive, 0.5, np.nan), "nu_err": 1 - share, "difference_norm": share}
    for m in range(members):
        own = share if m == members - 1 else (1 - share) / (members - 1)
        table |= {f"mas_l1_{m}": own, f"decoder_norm_{m}": own + 1}
    return pd.DataFrame(table)


def inspected(latents: int, members: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """What `inspect_latents` would have written: latent k fires on token k modulo their number."""
    fires = [k for k in range(latents) if k != 1]
    passages = [
        (k, code, band, 1, 1.5, k, 2, 2, ["<bos>", " a", TOKENS[k % len(TOKENS)], " z"], [np.nan, 0.0, 1.5, 0.25])
        for k in fires
        for code, band in [*((member, "top") for member in members), ("joint", "0-25 %")]
    ]
    columns = ["latent", "code", "band", "rank", "activation", "sequence", "position", "peak", "tokens", "values"]
    counts = [9 - i % 10 for i in range(BINS)]
    pairs = [(k, (k + 2) % latents) for k in fires if (k + 2) % latents != 1]
    near = [(k, by, 1, other, 0.5) for k, other in pairs for by in ("course", "decoder", "firing")]
    logits = [
        (k, of, side, 1, TOKENS[(k + 1) % len(TOKENS)], sign * 2.0)
        for k in fires
        for of in [*members, "difference"]
        for side, sign in (("promoted", 1), ("suppressed", -1))
    ]
    return {
        "passages": pd.DataFrame(passages, columns=columns),
        "density": pd.DataFrame({"latent": fires, "largest": 1.5, "counts": [counts] * len(fires)}),
        "neighbours": pd.DataFrame(near, columns=["latent", "by", "rank", "other", "value"]),
        "lens": pd.DataFrame(logits, columns=["latent", "of", "side", "rank", "token", "logit"]),
    }


def scores(latents: int) -> pd.DataFrame:
    """Latents of the set have the score .25, others .125; on all tasks with samples, of both populations."""
    tables = []
    for task, population in [*((task, "critical") for task in TASKS), ("sum", "noncritical")]:
        kept = np.isin(np.arange(latents), SET)
        table = {"procedure": "main", "seed": 0, "task": task, "latent": np.arange(latents)}
        table |= {
            "score_name": "contribution",
            "score": np.where(kept, 0.25, 0.125) * (TASKS[task] > 0),
            "threshold": 0.2,
            "kept": kept,
        }
        tables.append(pd.DataFrame(table | {"score_share": 0.01 * (TASKS[task] > 0), "population": population}))
    return pd.concat(tables, ignore_index=True)


def alone() -> pd.DataFrame:
    """Each latent of the set adds .125 of accuracy on one task and .25 on the other."""
    row = {"state": "base", "edit": "exchange", "dose": 2.0, "role": "selection", "n": 8, "kl": 0.5}
    return pd.DataFrame(
        [
            row | {"latent": k, "rank": rank, "task": task, "accuracy": 0.5, "accuracy_change": c, "kl_change": -c}
            for rank, k in enumerate(SET, start=1)
            for task, c in (("sum", 0.125), ("sort", 0.25))
        ]
    )


def texts() -> pd.DataFrame:
    """A prompt that the edit turns from wrong to right, with a hostile completion."""
    row = {"state": "base", "edit": "exchange", "dose": 2.0, "role": "selection", "task": "sum", "sample": "s"}
    row |= {"prompt": "1 + 1 =", "answer": "2", "before": HOSTILE, "after": "it is 2"}
    return pd.DataFrame([row | {"right_before": False, "right_after": True}])


def effects() -> pd.DataFrame:
    """One edit that lifts the accuracy from .25 to .75."""
    row = {"procedure": "main", "state": "base", "edit": "exchange", "set_kind": "selected", "form": "own_dose"}
    row |= {"dose": 2.0, "chosen": True, "role": "selection", "half": "test", "subset": "half", "n": 40, "seed": 0}
    row |= {"change_lo": 0.25, "change_hi": 0.625, "wrong_to_right": 20.0, "right_to_wrong": 0.0}
    metrics = {"accuracy": (0.75, 0.5), "kl": (0.125, -0.25)}
    read = [(task, name, *values) for task in ("ALL", "sum") for name, values in metrics.items()]
    return pd.DataFrame([row | dict(zip(["task", "metric", "value", "change"], one, strict=True)) for one in read])


def comparisons() -> pd.DataFrame:
    """The set beats random sets by .3."""
    row = {"procedure": "main", "state": "base", "edit": "exchange", "rival": "random", "form": "own_dose"}
    row |= {"role": "selection", "task": "ALL", "half": "test", "metric": "accuracy", "members": 20, "seed": 0}
    return pd.DataFrame([row | {"set_value": 0.75, "rival_value": 0.45, "difference": 0.3, "lo": 0.2, "hi": 0.4}])
