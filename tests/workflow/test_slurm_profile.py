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


def test_processors_that_work_together_are_asked_for_on_one_node():
    """The plugin writes `nodes` as `--nodes`: `--gpus=8` alone may be spread over several."""
    asked = {rule.name: rule.resources for rule in workflow("config/qwen3-4b.yaml").rules if "gpu" in rule.resources}
    together = {name for name, resources in asked.items() if resources["gpu"].value > 1}
    assert {"train_sft_sft", "train_grpo_rl"} <= together
    on_one_node = {name for name, resources in asked.items() if "nodes" in resources and resources["nodes"].value == 1}
    assert on_one_node == together
