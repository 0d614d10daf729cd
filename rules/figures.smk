# Figures and tables: each from small tidy tables alone, each a target of its own; copies of all lie in figures/.
# A page is a line here, a module in scripts/rlgen/figures/, a script in scripts/figures/, a slice in
# scripts/rlgen/study/pages.py and a caption in report/. The options of its script are the names of its tables.

summarised = rules.summarise_interventions.output
EDITED = {name: summarised.get(name, []) for name in ("effects", "comparisons", "controls")}
LEADING = pages.leading(study)
TABLES = {
    "fig1_behaviour": {"accuracy": rules.summarise_behaviour.output.accuracy},
    "fig2_nrn": {"features": at.summaries(pages.norm_ratio_dictionaries(study), "features.parquet")},
    "fig3_mas": {"features": at.summaries([study.joint()], "features.parquet") if study.joint() else []},
    "fig4_dynamics": {"dynamics": rules.summarise_dynamics.output},
    "fig5_mediation": {
        "scores": rules.summarise_mediation.output.scores,
        "sets": rules.summarise_mediation.output.sets,
        "overlap": rules.summarise_mediation.output.overlap,
    },
    "fig6_selection": EDITED,
    "fig7_unseen": EDITED,
    "fig8_recovery": {
        "recovery": rules.summarise_recovery.output if study.organism else [],
        "effects": rules.summarise_interventions.output.effects,
    },
    "fig9_sensitivity": {
        "sensitivity": rules.summarise_sensitivity.output if study.variants else [],
        "equivalence": [at.sensitivity("equivalence", seed) for seed in SEEDS] if study.asks("equivalence") else [],
        "maps": [at.sensitivity("maps", seed) for seed in SEEDS] if study.asks("maps") else [],
    },
    "fig10_arms": {
        **{name: rules.summarise_arms.output[name] if study.arms else [] for name in ("arms", "explained", "as_far")},
        "effects": EDITED["effects"],
        "shared": rules.compare_arms.output if study.arms else [],
        "features": at.summaries(list(pages.arm_dictionaries(study)), "features.parquet"),
    },
    "fig11_early": {
        "foretold": rules.foretell_arms.output.foretold if WATCHED else [],
        "accuracy": rules.summarise_behaviour.output.accuracy,
    },
    "table4_features": {
        "sets": rules.summarise_mediation.output.sets,
        "scores": rules.summarise_mediation.output.scores,
        "features": at.summaries([study.procedures[LEADING].dictionary] if LEADING else [], "features.parquet"),
        "contexts": [at.measured_of(LEADING, seed, "contexts.parquet") for seed in SEEDS] if LEADING else [],
    },
    "table5_sensitivity": {"sensitivity": rules.summarise_sensitivity.output if study.variants else []},
    "fig12_extended": {
        name: rules.summarise_varied.output[name] if study.extended else [] for name in ("curves", "areas", "rotation")
    },
    "table1_accuracies": {"accuracy": rules.summarise_behaviour.output.accuracy},
    "table2_interventions": {"effects": rules.summarise_interventions.output.effects},
    "table3_dictionaries": {
        "quality": at.summaries(study.dictionaries, "quality.csv"),
        "features": at.summaries(pages.norm_ratio_dictionaries(study), "features.parquet"),
    },
}

# The ledger reads only tables that its claims are judged from; `get`: tables that not every study makes.
CLAIMED = {
    "accuracy": rules.summarise_behaviour.output.accuracy,
    "features": at.summaries(dictionaries_of(study.claims), "features.parquet"),
    "dynamics": rules.summarise_dynamics.output,
    "sets": rules.summarise_mediation.output.sets,
    "overlap": rules.summarise_mediation.output.overlap,
    **EDITED,
    "recovery": rules.summarise_recovery.output if study.organism else [],
    "sensitivity": rules.summarise_sensitivity.output if study.variants else [],
    "explained": rules.summarise_arms.output.explained if study.arms else [],
    "foretold": rules.foretell_arms.output.foretold if WATCHED else [],
}
TABLES["claims"] = {name: CLAIMED[name] for name in pages.tables_of_claims(study) if CLAIMED[name]}

if problems := list(pages.unlisted([name for name, path in SCRIPTS.items() if path.parent.name == "figures"], TABLES)):
    raise WorkflowError("\n".join(problems))


for page in [name for name in TABLES if name.startswith("fig")]:

    rule:
        name:
            page
        input:
            **TABLES[page],
        output:
            pdf=f"<results>/figures/{pages.number(page)}.pdf",
            png=report(
                f"<results>/figures/{pages.number(page)}.png",
                caption=f"../report/{pages.number(page)}.rst",
                category="2 Figures",
                labels={"figure": pages.number(page), "shows": pages.PAGES[page]},
            ),
        log:
            f"<logs>/{page}.log",
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            **asks(page, gpu=0, mem_mb=1000, runtime=10),
        params:
            **job(page, "analysis"),
            tables=named_tables,
        message:
            f"{pages.number(page)}: {pages.PAGES[page]}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} {params.tables} --output {output.pdf} --png {output.png}"


for page in [name for name in TABLES if name.startswith("table")]:

    rule:
        name:
            page
        input:
            **TABLES[page],
        output:
            table=f"<results>/figures/{pages.number(page)}.csv",
            tex=f"<results>/figures/{pages.number(page)}.tex",
            html=report(
                f"<results>/figures/{pages.number(page)}.html",
                caption=f"../report/{pages.number(page)}.rst",
                category="3 Tables",
                labels={"table": pages.number(page), "shows": pages.PAGES[page]},
            ),
        log:
            f"<logs>/{page}.log",
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            **asks(page, gpu=0, mem_mb=1000, runtime=10),
        params:
            **job(page, "analysis"),
            tables=named_tables,
        message:
            f"{pages.number(page)}: {pages.PAGES[page]}"
        shell:
            "{params.job} --log {log} -- --cfg {params.cfg:q} {params.tables} --output {output.table} --tex {output.tex}"
            " --html {output.html}"


rule judge_claims:
    input:
        **TABLES["claims"],
    output:
        table="<results>/figures/claims.csv",
        tex="<results>/figures/claims.tex",
        pdf="<results>/figures/claims.pdf",
        png=report(
            "<results>/figures/claims.png",
            caption="../report/claims.rst",
            category="1 What came out",
            labels={"page": "claims", "shows": pages.PAGES["claims"]},
        ),
        html=report(
            "<results>/figures/findings.html",
            caption="../report/findings.rst",
            category="1 What came out",
            labels={"page": "findings", "shows": "The same verdicts in words"},
        ),
    log:
        "<logs>/judge_claims.log",
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        **asks("judge_claims", gpu=0, mem_mb=1000, runtime=10),
    params:
        **job("judge_claims", "analysis"),
        tables=named_tables,
    message:
        f"claims: {pages.PAGES['claims']}"
    shell:
        "{params.job} --log {log} -- --cfg {params.cfg:q} {params.tables}"
        " --output {output.table} --tex {output.tex} --pdf {output.pdf} --png {output.png} --html {output.html}"


rule copy_page:
    input:
        "<results>/figures/{page}",
    output:
        "figures/{page}",
    log:
        "<logs>/copy_page/{page}.log",
    wildcard_constraints:
        page=r"((fig|table)\d+|claims)\.(pdf|png|csv|tex|html)",
    conda:
        "../envs/analysis.yaml"
    message:
        f"figures/{{wildcards.page}} shows study {study.study}"
    # A copy within one tick of the file system's clock took no time, and a report draws run times on a log axis.
    shell:
        "sleep 0.02; cp {input} {output} 2> {log}"
