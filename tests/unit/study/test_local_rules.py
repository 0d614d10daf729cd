"""What Snakemake runs beside itself on a cluster, and that its guide says so."""

import re

from rules import STUDIES, workflow
from studies import ROOT

OF_NO_WEIGHT = {"all", "figures", "extended", "site", "neuronpedia", "download", "copy_page", "open_window"}


def test_the_guide_names_every_local_rule_and_how_to_submit_them():
    local = {name for config in STUDIES for name in workflow(config)._localrules}
    kinds = {re.sub(r"^import_model_.*", "import_model_*", name) for name in local - OF_NO_WEIGHT}
    text = (ROOT / "docs/slurm.md").read_text().partition("## Before the first run")[0]
    assert kinds == set(re.findall(r"`((?:fetch|make|import)_[\w*]+)`", text)) and len(kinds) == 4
    command = re.search(r'sbatch .*--wrap "(snakemake download [^"]*)"', text)
    assert command and "download" in local
