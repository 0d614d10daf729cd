"""The SLURM profile without a SLURM: it plans the same jobs, and groups only rules that exist and need no GPU."""

import re

import yaml
from rules import workflow
from snakemake_runs import ROOT, planned, snakemake

PROFILE = ROOT / "profiles/slurm/config.yaml"


def test_the_profile_plans_the_same_jobs():
    with_profile = snakemake(ROOT, "-n", "--forceall", "--workflow-profile", str(PROFILE.parent), "--", "figures")
    assert planned(with_profile) == planned(snakemake(ROOT, "-n", "--forceall", "--", "figures"))


def test_only_rules_without_gpu_share_jobs_and_every_request_grows():
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    rules = dict(re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.M | re.S))
    for rule in yaml.safe_load(PROFILE.read_text())["groups"]:
        assert "gpu=0," in rules[rule], rule
    asked = r'(?:grows\(\d+\)|asks\("\w+", "{0}", \d+\))'
    amounts = (
        rf"gpu=[^\n]*(?:GPU|0|gpus\(model\)),\n +mem_mb={asked.format('mem_mb')},\n +runtime={asked.format('runtime')},"
    )
    growing = re.findall(amounts, text)
    assert len(growing) == text.count("resources:\n") > 30


def test_processors_that_work_together_are_asked_for_on_one_node():
    """The plugin writes `nodes` as `--nodes`: `--gpus=8` alone may be spread over several."""
    asked = {rule.name: rule.resources for rule in workflow("config/qwen3-4b.yaml").rules if "gpu" in rule.resources}
    together = {name for name, resources in asked.items() if resources["gpu"].value > 1}
    assert {"train_sft_sft", "train_grpo_rl"} <= together
    on_one_node = {name for name, resources in asked.items() if "nodes" in resources and resources["nodes"].value == 1}
    assert on_one_node == together
