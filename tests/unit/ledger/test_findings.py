"""Verdicts in words: the ledger's own numbers, no markup but ours, and on the first page of a report."""

import re
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import ledger_tables as made
import pandas as pd
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined

from rlgen.ledger.findings import as_html, summary
from rlgen.ledger.verdicts import judge

REPORT = Path(__file__).parents[3] / "report/workflow.rst"
EIGHT = list(range(3, 11))


def ledger(seeds: list[int] = EIGHT) -> pd.DataFrame:
    return judge("eight", made.claims(), made.tables(seeds), made.STUDY, seeds)


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def first_page(paths: list[str]) -> str:
    """The report's first page as Snakemake makes it: jinja, then docutils."""
    text = Environment(undefined=StrictUndefined).from_string(REPORT.read_text())
    files = [SimpleNamespace(path=Path(path)) for path in paths]
    return publish_parts(text.render(files=files, categories={}), writer_name="html")["html_body"]


def test_every_claim_is_told_once_under_its_verdict():
    table = ledger()
    overall = table[table["seed"] == "ALL"]
    html = as_html("eight", table)
    parts = re.split(r"<h3>(.*?)</h3>", html)[1:]
    told = dict(zip(parts[::2], parts[1::2], strict=True))
    titles = {
        "holds": "Holds",
        "fails": "Fails",
        "not decidable": "Not decidable over these seeds",
        "no data": "No data",
    }
    assert set(told) == {titles[verdict] for verdict in overall["verdict"]} and len(told) > 1
    for row in overall.itertuples():
        (line,) = (found for found in re.findall(r"<li>(.*?)</li>", html) if words(found).startswith(f"{row.says} ("))
        assert line in told[titles[row.verdict]]
        if row.verdict == "no data":
            assert row.reason in words(line)
        else:
            assert f"Median {row.value:.2f}" in line and "seeds: 8 " in line


def test_verdicts_are_counted():
    table = ledger()
    counts = table[table["seed"] == "ALL"]["verdict"].value_counts()
    text = summary(table)
    assert text.startswith(f"Claims written down before the run: {counts.sum()}. Over 8 seeds: {counts['holds']} holds")
    assert f"In single seeds: {(table[table['seed'] != 'ALL']['verdict'] == 'holds').sum()} holds" in text
    assert "Over 1 seed:" in summary(ledger([3])) and summary(table.iloc[:0]) == "No claim was written down."


def test_seeds_are_read_from_a_file_as_from_memory(tmp_path):
    ledger().to_csv(tmp_path / "claims.csv", index=False)
    assert as_html("eight", pd.read_csv(tmp_path / "claims.csv")) == as_html("eight", ledger())


def test_text_of_a_study_is_no_markup():
    table = ledger()
    table["says"] = "<script>run()</script> & more"
    html = as_html("<b>", table)
    assert "<script" not in html and "<b>" not in html and "&lt;script&gt;run()&lt;/script&gt; &amp; more" in html


def test_the_report_opens_with_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = Path("results/eight/figures/findings.html")
    place.parent.mkdir(parents=True)
    place.write_text(as_html("eight", ledger()), encoding="utf-8")
    page = first_page(["results/eight/figures/fig1.png", str(place)])
    assert summary(ledger()) in words(page) and page.count("<li>") == len(made.claims())
    assert "What came out of study" not in first_page(["results/eight/figures/fig1.png"])  # a study without claims
