"""The SLURM profile without a SLURM: it plans the same jobs, and groups only rules that exist and need no GPU."""

import pytest
import yaml
from rules import STUDIES, workflow
from snakemake_runs import ROOT, planned, snakemake

PROFILE = ROOT / "profiles/slurm/config.yaml"


def test_the_profile_plans_the_same_jobs():
    with_profile = snakemake(ROOT, "-n", "--forceall", "--workflow-profile", str(PROFILE.parent), "--", "figures")
    assert planned(with_profile) == planned(snakemake(ROOT, "-n", "--forceall", "--", "figures"))


def test_only_rules_without_gpu_share_jobs():
    rules = {rule.name: rule for config in STUDIES for rule in workflow(config).rules}
    for name in yaml.safe_load(PROFILE.read_text())["groups"]:
        assert rules[name].resources["gpu"]._value == 0, name


@pytest.mark.parametrize("config", STUDIES)
def test_every_request_grows_with_the_attempt(config):
    scripted = [rule for rule in workflow(config).rules if "script" in dict(rule.params.items())]
    assert len(scripted) > 20
    for rule in scripted:
        for what in ("mem_mb", "runtime"):
            asked = rule.resources[what]._value  # a function of the attempt
            assert asked(None, attempt=3) == 3 * asked(None, attempt=1) > 0, rule.name
