"""Variants on the finished miniature study: what runs for them, what they leave alone, what editing one makes stale."""

import pandas as pd
import pytest
import yaml
from snakemake_runs import RESULTS, STUDY, pdf_text, snakemake, stale

pytestmark = pytest.mark.slow

VARIED = "config/varied.yaml"
PAGES = ["figures/fig9.pdf", "figures/table5.csv"]
VARIANTS = {
    "procedure": "elimination",
    "equivalence": {"latents": 4, "prompts": 4},
    "maps": {"units": 8, "steps": 20},
    "factors": {
        "dictionary-seed": {"seed-1": {"recipe": {"replicate": 1}}},
        "objective": {"parted": {"recipe": {"objective": "dedicated", "exclusive_latents": 4}}},
        "encoder": {"bent": {"recipe": {"encoder": "mlp", "encoder_units": 8}}},
        "selector": {"by-size": {"procedure": {"score": "size"}}},
    },
}
JOBS = {
    "train_dictionary": 3,
    "measure_dictionary": 3,
    "attribute_features": 3,
    "choose_together": 3,
}  # of seed-1, parted and bent
JOBS |= {"score_features": 4, "intervene": 4, "measure_sensitivity": 5, "summarise_sensitivity": 1}
JOBS |= {"measure_equivalence": 1, "measure_maps": 1, "fig9_sensitivity": 1, "table5_sensitivity": 1, "copy_page": 2}


def write(tree, variants: dict) -> None:
    content = yaml.safe_load((tree / STUDY).read_text()) | {"variants": variants}
    (tree / VARIED).write_text(yaml.safe_dump(content, sort_keys=False))


def test_variants_share_what_the_study_has_made_and_leave_it_as_it_is(tree):
    write(tree, VARIANTS)
    assert stale(tree, *PAGES, study=VARIED) == JOBS
    run = snakemake(tree, "--configfile", VARIED, "--", *PAGES)
    assert run.returncode == 0, run.stdout
    assert stale(tree) == {} and stale(tree, *PAGES, study=VARIED) == {}

    table = pd.read_csv(tree / RESULTS / "sensitivity/sensitivity.csv").fillna({"rival": "", "metric": ""})
    assert set(table["variant"]) == {"elimination", "seed-1", "parted", "bent", "by-size"} and set(table["seed"]) == {0}
    own = table[table["rival"] == ""].groupby(["variant", "quantity"])["value"].apply(list)
    for quantity in ("matched_share", "overlap", "direction", "carried_rank"):
        assert own["elimination", quantity] == pytest.approx([1]), quantity
    assert set(own["elimination", "against_main"]) == {0} and len(own["by-size", "against_main"]) == 6
    assert own["by-size", "set_size"] == [3] and own["by-size", "matched_share"] == [1]
    assert 0 <= own["seed-1", "matched_share"][0] <= 1
    for variant in ("seed-1", "parted", "bent"):
        edited, refused = ((variant, quantity) in own.index for quantity in ("effect", "refused"))
        assert edited != refused  # so small a dictionary may explain too little to edit through, and then says so

    twins = pd.read_csv(tree / RESULTS / "sensitivity/equivalence/seed0.csv")
    assert len(twins) in (0, 3, 4) and set(twins["prompts"]) <= {12}
    assert (twins[["kl_reference", "kl_tuned"]] >= 0).all(axis=None)

    maps = pd.read_csv(tree / RESULTS / "sensitivity/maps/seed0.csv")
    done = maps[maps["quantity"] == "effect"].groupby("map")["part"].unique().map(set)
    assert set(done.index) == {"ridge", "mlp", "kernel"} and all(parts >= {"whole", "on", "without"} for parts in done)

    text = pdf_text(tree / "figures/fig9.pdf")
    assert "Study miniature." in text and "main: elimination" in text and "dictionary-seed" in text
    assert "steady" not in text and (tree / "figures/table5.csv").read_text().count("by-size") > 10

    edited = {"score": "size", "cut_count": 2}
    write(tree, VARIANTS | {"factors": VARIANTS["factors"] | {"selector": {"by-size": {"procedure": edited}}}})
    jobs = {"score_features": 1, "intervene": 1, "measure_sensitivity": 1, "summarise_sensitivity": 1}
    assert stale(tree, *PAGES, study=VARIED) == jobs | {"fig9_sensitivity": 1, "table5_sensitivity": 1, "copy_page": 2}
