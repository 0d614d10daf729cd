# Figures and tables: each from small tidy tables alone, each a target of its own; copies of all lie in figures/.


rule fig1_behaviour:
    input:
        accuracy=rules.summarise_behaviour.output.accuracy,
        curves=rules.summarise_behaviour.output.curves,
    output:
        pdf="<results>/figures/fig1.pdf",
        png=report(
            "<results>/figures/fig1.png",
            caption="../report/fig1.rst",
            category="Figures",
        ),
    log:
        "<logs>/fig1_behaviour.log",
    benchmark:
        "<benchmarks>/fig1_behaviour.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        cfg=cfg("fig1_behaviour"),
        code=code("fig1_behaviour"),
        packages=packages("analysis"),
        job=job("fig1_behaviour", "analysis"),
    message:
        "fig1: Accuracy of all models in and out of the trained domain"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --accuracy {input.accuracy} --curves {input.curves}"
        " --output {output.pdf} --png {output.png}"


rule fig2_nrn:
    input:
        features=summary_of(page_slices.norm_ratio_dictionaries(study), "features.parquet"),
    output:
        pdf="<results>/figures/fig2.pdf",
        png=report(
            "<results>/figures/fig2.png",
            caption="../report/fig2.rst",
            category="Figures",
        ),
    log:
        "<logs>/fig2_nrn.log",
    benchmark:
        "<benchmarks>/fig2_nrn.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        cfg=cfg("fig2_nrn"),
        code=code("fig2_nrn"),
        packages=packages("analysis"),
        job=job("fig2_nrn", "analysis"),
    message:
        "fig2: Norm ratios of the pairs' features, with the null"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --features {input.features}"
        " --output {output.pdf} --png {output.png}"


rule fig3_mas:
    input:
        features=summary_of([study.joint()], "features.parquet") if study.joint() else [],
    output:
        pdf="<results>/figures/fig3.pdf",
        png=report(
            "<results>/figures/fig3.png",
            caption="../report/fig3.rst",
            category="Figures",
        ),
    log:
        "<logs>/fig3_mas.log",
    benchmark:
        "<benchmarks>/fig3_mas.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        cfg=cfg("fig3_mas"),
        code=code("fig3_mas"),
        packages=packages("analysis"),
        job=job("fig3_mas", "analysis"),
    message:
        "fig3: Model affinity of the joint dictionary's features"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --features {input.features}"
        " --output {output.pdf} --png {output.png}"


rule fig4_dynamics:
    input:
        dynamics=rules.summarise_dynamics.output,
    output:
        pdf="<results>/figures/fig4.pdf",
        png=report(
            "<results>/figures/fig4.png",
            caption="../report/fig4.rst",
            category="Figures",
        ),
    log:
        "<logs>/fig4_dynamics.log",
    benchmark:
        "<benchmarks>/fig4_dynamics.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        cfg=cfg("fig4_dynamics"),
        code=code("fig4_dynamics"),
        packages=packages("analysis"),
        job=job("fig4_dynamics", "analysis"),
    message:
        "fig4: Overlap of tuned-specific features over training"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --dynamics {input.dynamics}"
        " --output {output.pdf} --png {output.png}"


rule fig5_mediation:
    input:
        scores=rules.summarise_mediation.output.scores,
        sets=rules.summarise_mediation.output.sets,
        overlap=rules.summarise_mediation.output.overlap,
    output:
        pdf="<results>/figures/fig5.pdf",
        png=report(
            "<results>/figures/fig5.png",
            caption="../report/fig5.rst",
            category="Figures",
        ),
    log:
        "<logs>/fig5_mediation.log",
    benchmark:
        "<benchmarks>/fig5_mediation.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        cfg=cfg("fig5_mediation"),
        code=code("fig5_mediation"),
        packages=packages("analysis"),
        job=job("fig5_mediation", "analysis"),
    message:
        "fig5: Mediating features per task and their overlap against chance"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --scores {input.scores} --sets {input.sets} --overlap {input.overlap}"
        " --output {output.pdf} --png {output.png}"


rule fig6_selection:
    input:
        effects=rules.summarise_interventions.output,
    output:
        pdf="<results>/figures/fig6.pdf",
        png=report(
            "<results>/figures/fig6.png",
            caption="../report/fig6.rst",
            category="Figures",
        ),
    log:
        "<logs>/fig6_selection.log",
    benchmark:
        "<benchmarks>/fig6_selection.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        cfg=cfg("fig6_selection"),
        code=code("fig6_selection"),
        packages=packages("analysis"),
        job=job("fig6_selection", "analysis"),
    message:
        "fig6: Edits, controls and rivals on the selection tasks"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --effects {input.effects}"
        " --output {output.pdf} --png {output.png}"


rule fig7_unseen:
    input:
        effects=rules.summarise_interventions.output,
    output:
        pdf="<results>/figures/fig7.pdf",
        png=report(
            "<results>/figures/fig7.png",
            caption="../report/fig7.rst",
            category="Figures",
        ),
    log:
        "<logs>/fig7_unseen.log",
    benchmark:
        "<benchmarks>/fig7_unseen.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        cfg=cfg("fig7_unseen"),
        code=code("fig7_unseen"),
        packages=packages("analysis"),
        job=job("fig7_unseen", "analysis"),
    message:
        "fig7: Edits on the unseen tasks and the dose curve"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --effects {input.effects}"
        " --output {output.pdf} --png {output.png}"


rule fig8_recovery:
    input:
        recovery=rules.summarise_recovery.output if study.organism else [],
        effects=rules.summarise_interventions.output,
    output:
        pdf="<results>/figures/fig8.pdf",
        png=report(
            "<results>/figures/fig8.png",
            caption="../report/fig8.rst",
            category="Figures",
        ),
    log:
        "<logs>/fig8_recovery.log",
    benchmark:
        "<benchmarks>/fig8_recovery.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        cfg=cfg("fig8_recovery"),
        code=code("fig8_recovery"),
        packages=packages("analysis"),
        job=job("fig8_recovery", "analysis"),
    message:
        "fig8: Every procedure against the planted truth"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --recovery {input.recovery} --effects {input.effects}"
        " --output {output.pdf} --png {output.png}"


rule table1_accuracies:
    input:
        accuracy=rules.summarise_behaviour.output.accuracy,
    output:
        table=report(
            "<results>/figures/table1.csv",
            caption="../report/table1.rst",
            category="Tables",
        ),
        tex="<results>/figures/table1.tex",
    log:
        "<logs>/table1_accuracies.log",
    benchmark:
        "<benchmarks>/table1_accuracies.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        cfg=cfg("table1_accuracies"),
        code=code("table1_accuracies"),
        packages=packages("analysis"),
        job=job("table1_accuracies", "analysis"),
    message:
        "table1: Accuracies"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --accuracy {input.accuracy}"
        " --output {output.table} --tex {output.tex}"


rule table2_interventions:
    input:
        effects=rules.summarise_interventions.output,
    output:
        table=report(
            "<results>/figures/table2.csv",
            caption="../report/table2.rst",
            category="Tables",
        ),
        tex="<results>/figures/table2.tex",
    log:
        "<logs>/table2_interventions.log",
    benchmark:
        "<benchmarks>/table2_interventions.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        cfg=cfg("table2_interventions"),
        code=code("table2_interventions"),
        packages=packages("analysis"),
        job=job("table2_interventions", "analysis"),
    message:
        "table2: Effects of interventions"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --effects {input.effects}"
        " --output {output.table} --tex {output.tex}"


rule table3_dictionaries:
    input:
        quality=summary_of(study.dictionaries, "quality.csv"),
    output:
        table=report(
            "<results>/figures/table3.csv",
            caption="../report/table3.rst",
            category="Tables",
        ),
        tex="<results>/figures/table3.tex",
    log:
        "<logs>/table3_dictionaries.log",
    benchmark:
        "<benchmarks>/table3_dictionaries.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        cfg=cfg("table3_dictionaries"),
        code=code("table3_dictionaries"),
        packages=packages("analysis"),
        job=job("table3_dictionaries", "analysis"),
    message:
        "table3: Quality of the dictionaries"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} --quality {input.quality}"
        " --output {output.table} --tex {output.tex}"


rule copy_page:
    input:
        "<results>/figures/{page}",
    output:
        "figures/{page}",
    log:
        "<logs>/copy_page/{page}.log",
    wildcard_constraints:
        page=r"(fig|table)\d+\.(pdf|png|csv|tex)",
    conda:
        "../envs/analysis.yaml"
    message:
        f"figures/{{wildcards.page}} shows study {study.study}"
    shell:
        "cp {input} {output} 2> {log}"
