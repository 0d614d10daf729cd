"""Other studies beside the main procedure: rows by hand, what cannot be compared, what the config refuses."""

from math import sqrt
from pathlib import Path

import pandas as pd
import pytest
import synthetic_tables
import yaml
from snakemake.utils import update_config
from studies import content_of, refused

from rlgen.figures import fig9_sensitivity as fig9
from rlgen.figures import variants
from rlgen.files import ArtifactError
from rlgen.sensitivity.siblings import beside
from rlgen.study import pages, slices
from rlgen.study.load import load

THEIRS = Path("results/other/sensitivity/sensitivity.csv")
WHOLE = content_of("sensitivity")
SHIPPED = {path.stem: path for path in (Path(__file__).parents[3] / "config/siblings").glob("*.yaml")}
ALL = SHIPPED.pop("all")


def main_rows(effect: float, half: float, seeds=(0, 1), state: str = "base") -> pd.DataFrame:
    """The main procedure of a study whose set changes accuracy by `effect`, give or take `half`."""
    columns = synthetic_tables.sensitivity().columns
    key = {"factor": "main", "variant": "elimination", "state": state, "role": "selection", "metric": "accuracy"}
    rows = [
        key
        | {
            "seed": s,
            "quantity": "effect",
            "form": "own_dose",
            "value": effect,
            "lo": effect - half,
            "hi": effect + half,
        }
        for s in seeds
    ]
    rows += [
        {"factor": "main", "variant": "elimination", "seed": s, "quantity": "set_size", "value": 16} for s in seeds
    ]
    rows += [{"factor": "main", "variant": "elimination", "seed": s, "quantity": "overlap", "value": 1} for s in seeds]
    return pd.DataFrame(rows).reindex(columns=columns)


def test_a_sibling_is_one_more_variant_with_unpaired_differences_by_hand():
    ours, theirs = main_rows(0.5, 0.04), main_rows(0.3, 0.03, seeds=(1, 2))
    table = beside(ours, theirs, THEIRS, "layer", "layer-2")
    assert list(table.columns) == list(ours.columns) and len(table) == len(ours) + 3
    rows = table[table["variant"] == "layer-2"].set_index("quantity")
    assert set(rows["factor"]) == {"layer"} and set(rows["seed"]) == {1}  # the seed that both have
    assert set(rows.index) == {"effect", "set_size", "against_main"}  # and no overlap of latents
    half = sqrt(0.03**2 + 0.04**2)
    assert rows.loc["against_main", ["value", "lo", "hi"]].tolist() == pytest.approx([-0.2, -0.2 - half, -0.2 + half])


def test_the_page_counts_it_among_the_factors():
    settings = synthetic_tables.SETTINGS["fig9_sensitivity"]
    settings = settings | {"factors": settings["factors"] | {"layer": {"layer-2": "study other"}}}
    page, ours = fig9.Settings.model_validate(settings), synthetic_tables.sensitivity()
    theirs = ours[ours["factor"] == "main"].copy()
    theirs.loc[theirs["quantity"] == "effect", ["value", "lo", "hi"]] -= 0.3
    table = variants.readable(beside(ours, theirs, THEIRS, "layer", "layer-2"))
    assert "layer (layer-2 −.30)" in variants.finding(page, table)
    fig9.draw(page, table)
    fig9.appendix(page, table)


def test_studies_without_common_seeds_or_models_are_refused():
    with pytest.raises(ArtifactError, match="no seed in common"):
        beside(main_rows(0.5, 0.1), main_rows(0.3, 0.1, seeds=(7,)), THEIRS, "layer", "layer-2")
    with pytest.raises(ArtifactError, match="edits origin, expected base"):
        beside(main_rows(0.5, 0.1), main_rows(0.3, 0.1, state="origin"), THEIRS, "layer", "layer-2")


def test_a_study_names_its_siblings_and_claims_may_be_about_them():
    content = WHOLE | {"variants": WHOLE["variants"] | {"siblings": {"layer": {"layer-2": "other"}}}}
    claim = WHOLE["claims"]["robust-size"] | {"factor": "layer"}
    study = load(content | {"claims": WHOLE["claims"] | {"robust-layer": claim}})
    assert slices.summarise_sensitivity(study)["siblings"] == [{"factor": "layer", "name": "layer-2", "study": "other"}]
    assert pages.fig9_sensitivity(study)["factors"]["layer"] == {"layer-2": "study other"}
    assert slices.summarise_sensitivity(load(WHOLE))["siblings"] == []
    alone = load(WHOLE | {"variants": {"procedure": "elimination"}, "claims": {}})  # a sibling's own config
    assert alone.compared_procedures() == ["elimination"]


@pytest.mark.parametrize(
    ("siblings", "message"),
    [
        ({"size": {"mine": "other"}}, "variants.siblings: 'size' is a factor of this study, expected another name"),
        ({"layer": {"size-64": "other"}}, "variants.siblings.layer: the name 'size-64' is taken, expected another one"),
        ({"layer": {"mine": "testbed"}}, "variants.siblings.layer.mine: testbed is this study, expected another one"),
        ({"layer": {"mine": "a/b"}}, "'a/b' cannot be part of a path"),
    ],
)
def test_bad_siblings_are_refused_in_words(siblings, message):
    assert message in refused(WHOLE, variants=WHOLE["variants"] | {"siblings": siblings})


def over(name: str, overlay: Path) -> dict:
    """A study with another file over it, as Snakemake puts them together."""
    content = content_of(name)
    update_config(content, yaml.safe_load(overlay.read_text()))
    return content


def test_shipped_siblings_are_the_default_study_with_one_change():
    usual, seen = content_of("config"), set()
    for name, path in SHIPPED.items():
        content = over("config", path)
        study = load(content)
        assert study.study == f"testbed-{name}" and study.compared_procedures() == ["elimination"]
        changed = {field for field in usual if content[field] != usual[field]}
        assert changed <= {"study", "stream", "models"}
        assert content["stream"]["layer"] < study.architecture("base").layers
        main, ours = (s.procedures["elimination"] for s in (load(WHOLE), study))
        assert main == ours and study.seeds == load(WHOLE).seeds
        seen.add(str([content["stream"], content["models"]["base"]]))
    assert len(seen) == len(SHIPPED)


def test_all_shipped_siblings_stand_beside_the_study_of_variants():
    study = load(over("sensitivity", ALL))
    assert {entry["name"]: entry["study"] for entry in study.siblings()} == {n: f"testbed-{n}" for n in SHIPPED}
    claimed = {claim.factor for claim in study.claims.values() if claim.statistic == "robustness"}
    assert claimed >= set(study.variants.siblings)
