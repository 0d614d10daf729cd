"""A study in which nothing differs: the tuned models are right and wrong where the reference is."""

import json

import pandas as pd
import pytest
from snakemake_runs import RESULTS, STUDY, pdf_text, planned, snakemake

from rlgen.files import read_csv, write_parquet
from rlgen.interventions.runs import COLUMNS

pytestmark = pytest.mark.slow
PROCEDURES = ("contribution", "dedicated", "elimination", "forgetting", "gates", "published")
EDITED = ("contribution", "elimination", "forgetting", "published")


@pytest.fixture
def nothing_learnt(tree):
    """The finished study after every table of behaviour said that all models are right on the same prompts."""
    right = pd.read_parquet(tree / RESULTS / "behaviour/base/seed0/known.parquet").set_index("sample")["correct"]
    for model in ("sft", "rl"):
        path = tree / RESULTS / f"behaviour/{model}/seed0/known.parquet"
        table = pd.read_parquet(path)
        write_parquet(path, table.assign(correct=table["sample"].map(right)))
        # A file that is not its maker's is refused, unless its manifest is gone.
        (tree / RESULTS / f"manifests/evaluate_model/{model}_seed0_known.json").unlink()
    run = snakemake(tree, "--configfile", STUDY, "--", "all", cores=2)
    jobs = planned(run)
    assert {
        rule: jobs[rule]
        for rule in ("harvest_completions", "attribute_features", "choose_together", "score_features", "intervene")
    } == {
        "harvest_completions": 2,
        "attribute_features": 2,
        "choose_together": 2,
        "score_features": 6,
        "intervene": 4,
    }
    assert "evaluate_model" not in jobs
    return tree


def test_empty_sets_reach_every_page_as_words(nothing_learnt):
    tree, results = nothing_learnt, nothing_learnt / RESULTS
    for procedure in PROCEDURES:
        found = json.loads((results / f"features/mediation/{procedure}/seed0/set.json").read_text())
        assert found["latents"] == [] and set(found["critical"].values()) == {0}
        assert found["note"].startswith("no critical samples on any selection task"), procedure
    for procedure in EDITED:
        table = pd.read_parquet(results / f"interventions/{procedure}/seed0.parquet")
        assert len(table) == 0 and list(table) == COLUMNS
    assert set(read_csv(results / "interventions/effects.csv")["procedure"]) == {"steering"}
    recovery = read_csv(results / "interventions/recovery.csv")
    assert (recovery.loc[recovery["quantity"] == "set_size", "value"] == 0).all()

    pages = {i: pdf_text(tree / f"figures/fig{i}.pdf") for i in range(1, 9)}
    assert all("Study miniature." in text for text in pages.values())
    assert pages[5].count("empty: no critical samples on any selection task") == len(PROCEDURES)
    assert "contribution empty in every seed" in pages[5]
    for i in (6, 7):
        assert "no set: nothing to edit" in pages[i] and "nothing was edited at any dose" in pages[i]
        assert "published: add no set" in pages[i]
    assert "contribution no set" in pages[8]
    assert "Study miniature." in (tree / "figures/table2.tex").read_text()
    assert len(read_csv(tree / "figures/table2.csv")) > 0  # steering remains
    assert {"steering"} == set(read_csv(tree / "figures/table2.csv")["procedure"])
