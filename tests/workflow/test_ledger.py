"""The miniature study's ledger against a recomputation that shares no code with it."""

import ledger_again
import pytest
import yaml
from ledger_compared import disagreements
from snakemake_runs import RESULTS, STUDY

pytestmark = pytest.mark.slow


def test_every_number_of_the_ledger_is_found_again(finished):
    study = yaml.safe_load((finished / STUDY).read_text())
    again = ledger_again.recompute(finished / RESULTS, study)
    assert {row["verdict"] for row in again.values()} >= {"holds", "fails", "no data"}
    assert disagreements(finished / RESULTS / "figures/claims.csv", again, study["interventions"]["bootstrap"]) == []
