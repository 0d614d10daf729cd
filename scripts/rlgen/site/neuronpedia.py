"""A dictionary as SAEDashboard writes one for Neuronpedia: `batch-<n>.json`, for Neuronpedia's own converter.

The fields are those of `sae_dashboard/neuronpedia/neuronpedia_dashboard.py` (SAEDashboard, MIT licence). A source of
Neuronpedia belongs to one model, so every member of a crosscoder is one, with its own code and its own decoder rows.
What this project does not measure stays empty: alignment with neurons, correlations, the histogram of all logits.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from rlgen.files import canonical_json, read_parquet, write_text
from rlgen.site.chunks import ByLatent
from rlgen.site.numbers import short, shorts
from rlgen.site.settings import BANDS, BINS, Shown
from rlgen.strict import Strict

FEATURES_PER_BATCH = 128
NOT_MEASURED = ("neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1")
NOT_MEASURED += ("correlated_neurons_indices", "correlated_neurons_l1", "correlated_neurons_pearson")
NOT_MEASURED += ("correlated_features_indices", "correlated_features_l1", "correlated_features_pearson")
NOT_MEASURED += ("logits_hist_data_bar_heights", "logits_hist_data_bar_values", "decoder_weights_dist")
TOP = -1  # `bin_min` and `bin_contains` of the strongest activations


class ExportNeuronpedia(Strict):
    """The slice that `scripts/site/export_neuronpedia.py` receives."""

    study: str
    layer: int = Field(ge=0)
    dictionary: Shown


def batches(cfg: ExportNeuronpedia, folder: Path, member: str) -> Iterator[dict]:
    """What one member's files hold, batch by batch. Raises ArtifactError naming a table that cannot be read."""
    features = read_parquet(folder / "features.parquet", ["latent", "frequency"]).sort_values("latent")
    frequency = features["frequency"].tolist()
    tables = {name: ByLatent(folder / f"inspection/{name}.parquet") for name in ("passages", "density", "lens")}
    for first in range(0, len(frequency), FEATURES_PER_BATCH):
        end = min(first + FEATURES_PER_BATCH, len(frequency))
        rows = {name: table.rows(first, end) for name, table in tables.items()}
        of_latents = [
            _feature(latent, frequency[latent], {name: found.get(latent, []) for name, found in rows.items()}, member)
            for latent in range(first, end)
        ]
        dataset = {"dataset": f"token stream of study {cfg.study}", "n_prompts_total": 0, "n_tokens_in_prompt": 0}
        yield {
            "model_id": member,
            "layer": cfg.layer,
            "sae_set": f"{cfg.study}-{cfg.dictionary.key.replace('/', '-')}",
            "features": [feature | dataset for feature in of_latents],
        }


def _feature(latent: int, frequency: float, rows: dict[str, list[dict]], member: str) -> dict:
    lens = [row for row in rows["lens"] if row["of"] == member]
    density = rows["density"][0] if rows["density"] else {"largest": 0.0, "counts": []}
    found = {"feature_index": latent, "frac_nonzero": short(frequency)} | {name: [] for name in NOT_MEASURED}
    for side, name in (("promoted", "pos"), ("suppressed", "neg")):
        own = sorted((row for row in lens if row["side"] == side), key=lambda row: row["rank"])
        found |= {f"{name}_str": [row["token"] for row in own], f"{name}_values": shorts(row["logit"] for row in own)}
    width = density["largest"] / BINS
    centres = shorts((place + 0.5) * width for place in range(len(density["counts"])))
    return found | {
        "freq_hist_data_bar_values": centres,
        "freq_hist_data_bar_heights": density["counts"],
        "activations": [*_strongest(rows["passages"], member), *_weaker(rows["passages"], density)],
    }


def _strongest(passages: list[dict], member: str) -> Iterator[dict]:
    own = [row for row in passages if row["code"] == member and row["band"] == "top"]
    largest = max((row["activation"] for row in own), default=0.0)
    for row in sorted(own, key=lambda row: row["rank"]):
        yield _activation(row, TOP, largest, TOP)


def _weaker(passages: list[dict], density: dict) -> Iterator[dict]:
    """Passages of the joint code's bands, with the share of its firings that a band holds."""
    for band, (low, high) in BANDS.items():
        inside = density["counts"][round(low * BINS) : round(high * BINS)]
        for row in passages:
            if row["band"] == band:
                share = sum(inside) / sum(density["counts"])
                yield _activation(row, low * density["largest"], high * density["largest"], share)


def _activation(row: dict, low: float, high: float, contains: float) -> dict:
    values = [value or 0.0 for value in shorts(row["values"])]
    ends = {"bin_min": short(low), "bin_max": short(high), "bin_contains": short(contains)}
    return ends | {"tokens": row["tokens"], "values": values}


def export(cfg: ExportNeuronpedia, folder: Path, output: Path) -> None:
    """Write `<member>/batch-<n>.json` of every member below a folder."""
    for member in cfg.dictionary.members:
        for number, batch in enumerate(batches(cfg, folder, member)):
            write_text(output / member / f"batch-{number}.json", canonical_json(batch) + "\n")
