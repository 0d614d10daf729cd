"""The export has the fields of SAEDashboard's batches, and the numbers of the tables."""

import json

import pytest
import site_tables
from site_tables import KEY, TOKENS

from rlgen.site.neuronpedia import FEATURES_PER_BATCH, ExportNeuronpedia, export
from rlgen.site.settings import BINS

# to_dict() of the classes in sae_dashboard/neuronpedia/neuronpedia_dashboard.py, SAEDashboard 0.7.
BATCH = {"model_id", "layer", "sae_set", "features"}
ACTIVATION = {"bin_min", "bin_max", "bin_contains", "tokens", "values"}
LISTS = {f"neuron_alignment_{x}" for x in ("indices", "values", "l1")}
LISTS |= {f"correlated_{of}_{x}" for of in ("neurons", "features") for x in ("indices", "l1", "pearson")}
LISTS |= {f"{hist}_hist_data_bar_{x}" for hist in ("freq", "logits") for x in ("values", "heights")}
LISTS |= {"neg_str", "neg_values", "pos_str", "pos_values", "decoder_weights_dist", "activations"}
FEATURE = LISTS | {"feature_index", "frac_nonzero", "n_prompts_total", "n_tokens_in_prompt", "dataset"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Batches of both members, by name."""
    results = tmp_path_factory.mktemp("results")
    cfg, sources = site_tables.write(results)
    settings = ExportNeuronpedia(study="invented", layer=1, dictionary=cfg.dictionaries[0])
    export(settings, sources.dictionaries[0], results / "out")
    return {str(p.relative_to(results / "out")): json.loads(p.read_text()) for p in (results / "out").rglob("*.json")}


def test_batches_have_the_fields_of_saedashboard(written):
    assert sorted(written) == [f"{member}/batch-{n}.json" for member in ("base@1", "rl@5") for n in (0, 1)]
    for name, batch in written.items():
        assert batch.keys() == BATCH and batch["model_id"] == name.partition("/")[0] and batch["layer"] == 1
        assert batch["sae_set"] == f"invented-{KEY.replace('/', '-')}"
        for feature in batch["features"]:
            assert feature.keys() == FEATURE and all(isinstance(feature[field], list) for field in LISTS)
            assert all(activation.keys() == ACTIVATION for activation in feature["activations"])
            for activation in feature["activations"]:
                assert len(activation["tokens"]) == len(activation["values"])
                assert all(isinstance(value, float) for value in activation["values"])
    indices = [f["feature_index"] for n in (0, 1) for f in written[f"rl@5/batch-{n}.json"]["features"]]
    assert indices == list(range(130)) and len(written["rl@5/batch-0.json"]["features"]) == FEATURES_PER_BATCH


def test_a_features_numbers_are_those_of_the_tables(written):
    feature = written["rl@5/batch-0.json"]["features"][5]
    assert feature["pos_str"] == feature["neg_str"] == [TOKENS[6]] and feature["pos_values"] == [2.0]
    assert feature["neg_values"] == [-2.0] and feature["frac_nonzero"] == 0.01
    assert feature["freq_hist_data_bar_heights"] == [9 - i % 10 for i in range(BINS)]
    assert feature["freq_hist_data_bar_values"][0] == pytest.approx(1.5 / BINS / 2)
    strongest, weak = feature["activations"]
    assert strongest == {
        "bin_min": -1.0,
        "bin_max": 1.5,
        "bin_contains": -1.0,
        "tokens": ["<bos>", " a", TOKENS[5], " z"],
        "values": [0.0, 0.0, 1.5, 0.25],
    }
    assert (weak["bin_min"], weak["bin_max"]) == (0.0, 0.375)
    assert weak["bin_contains"] == pytest.approx((9 + 8 + 7 + 6 + 5) / 90, abs=1e-4)


def test_a_latent_that_never_fires_is_there_and_empty(written):
    feature = written["base@1/batch-0.json"]["features"][1]
    assert feature["activations"] == feature["pos_str"] == feature["freq_hist_data_bar_heights"] == []
