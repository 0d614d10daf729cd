# Why does reinforcement learning generalize where supervised fine-tuning forgets?
#
#   snakemake figures --cores all              every figure and table of the default study
#   snakemake figures/fig3.pdf --cores all     one figure and exactly its stale ancestors
#   snakemake --configfile config/other.yaml   another study, from that file alone
import os
import sys

from snakemake.utils import min_version

min_version("9.27")
sys.path.insert(0, f"{workflow.basedir}/scripts")

if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/source_files.smk"
include: "rules/organism.smk" if study.organism else "rules/sources.smk"
include: "rules/models.smk"
include: "rules/behaviour.smk"
include: "rules/activations.smk"
include: "rules/kept_shards.smk" if study.stream.windows == 1 else "rules/windows.smk"
include: "rules/dictionaries.smk"
include: "rules/features.smk"
include: "rules/truth.smk" if study.organism else "rules/benchmark_interventions.smk"
include: "rules/interventions.smk"
include: "rules/figures.smk"


report: "report/workflow.rst"


localrules:
    all,
    figures,
    copy_page,


onsuccess:
    clear_states(Path(RESULTS))


rule all:
    default_target: True
    input:
        every_artifact(),


rule figures:
    input:
        pages("figures"),
