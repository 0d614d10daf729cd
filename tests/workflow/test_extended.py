"""`snakemake extended` on the finished miniature study: what runs for it, what it leaves alone, what makes it stale."""

import pandas as pd
import pytest
from snakemake_runs import RESULTS, STUDY, pdf_text, snakemake, stale

pytestmark = pytest.mark.slow

JOBS = {"attribute_features": 1, "vary_sets": 1, "summarise_varied": 1, "fig12_extended": 1, "copy_page": 2}
JOBS |= {"extended": 1}


def test_sets_of_every_size_and_choice_of_tasks(tree):
    assert stale(tree) == {} and stale(tree, "extended") == JOBS  # attributions on unseen tasks serve nothing else
    run = snakemake(tree, "--configfile", STUDY, "--", "extended")
    assert run.returncode == 0, run.stdout
    assert stale(tree) == {} and set(stale(tree, "extended")) <= {"extended"}

    rows = pd.read_parquet(tree / RESULTS / "extended/seed0.parquet")
    curves, areas, rotation = (
        pd.read_csv(tree / RESULTS / f"extended/{n}.csv") for n in ("curves", "areas", "rotation")
    )
    if rows.empty:  # so small a dictionary may explain too little to edit through, and then says so
        assert curves.empty and areas.empty and rotation.empty
        assert "is not edited: the readout explains" in (tree / RESULTS / "logs/vary_sets/seed0.log").read_text()
    else:
        assert set(rows["state"]) <= {"base", "sft"} and set(curves["size"]) >= {1, 2}
        assert (areas.loc[areas["score"] == "elimination", "difference"] == 0).all()
        assert set(rotation["task"]) == {"max", "cup", "dir", "par", "ALL"}
    assert "Study miniature." in pdf_text(tree / "figures/fig12.pdf")

    config = tree / STUDY
    config.write_text(config.read_text().replace("sizes: [1, 2, 4]", "sizes: [1, 2]"))
    assert stale(tree, "extended") == {name: n for name, n in JOBS.items() if name != "attribute_features"}
    assert stale(tree) == {}
