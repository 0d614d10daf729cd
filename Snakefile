# Why does reinforcement learning generalize where supervised fine-tuning forgets?
#
#   snakemake figures --cores all              every figure and table of the default study
#   snakemake site --cores all                 pages of every latent, set and procedure
#   snakemake figures/fig3.pdf --cores all     one figure and exactly its stale ancestors
#   snakemake --configfile config/other.yaml   another study, from that file alone
import os
import sys

from snakemake.utils import min_version

min_version("9.27")
sys.path.insert(0, f"{workflow.basedir}/scripts")

if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml" if os.path.exists("config/config.yaml") else f"{workflow.basedir}/config/config.yaml"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/behaviour.smk"
include: "rules/activations.smk"
include: "rules/dictionaries.smk"


if study.stream.windows > 1:

    include: "rules/windows.smk"


include: "rules/features.smk"
include: "rules/interventions.smk"


if study.variants:

    include: "rules/sensitivity.smk"


if study.extended:

    include: "rules/extended.smk"


if study.arms:

    include: "rules/arms.smk"


include: "rules/figures.smk"
include: "rules/site.smk"


report: "report/workflow.rst"


if workflow.is_main_process:
    for note in records.restore(workflow.rules, Path(at.results)):
        logger.warning(note)


localrules:
    all,
    figures,
    extended,
    site,
    neuronpedia,
    copy_page,


onsuccess:
    clear_states(Path(at.results))


rule all:
    default_target: True
    input:
        every_artifact(),


rule figures:
    input:
        shown("figures"),


if study.extended:

    rule extended:
        input:
            shown("figures", pages.EXTENDED),


rule site:
    input:
        rules.build_site.output,


rule neuronpedia:
    input:
        [
            path
            for name in study.dictionaries
            for path in expand(
                rules.export_neuronpedia.output, dictionary=name, recipe=study.own_recipes(name), seed=SEEDS
            )
        ],
