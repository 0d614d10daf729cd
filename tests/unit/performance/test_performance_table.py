"""The benchmark's runner on made-up rows: table, CSV and figure; what was not run never looks measured."""

import json
import math
import sys
from pathlib import Path

import pytest

PERFORMANCE = Path(__file__).parents[2] / "performance"


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(str(PERFORMANCE))
    import run

    yield run
    for name in ("run", "measure", "workflow_rows"):
        sys.modules.pop(name, None)


@pytest.fixture
def rows(run):
    nan = float("nan")
    return [
        run.Measurement("step", "encoder product", 3.0, 2.0, "ms", "<= 2.0", 7),
        run.Measurement("harvest", "bare forward", 80.0, 100.0, "tokens/s", ">= 0.9", 5, "slow disk"),
        run.Measurement("tokens", "peak", nan, nan, "tokens/s", ">= 0.5", 0, "not run: no GPU"),
    ]


def test_the_table_says_what_was_met_missed_and_not_run(run, rows):
    found = run.table(rows, "a machine")
    assert found["met"].tolist() == ["yes", "no", "not run"]
    assert found["ratio"].tolist()[:2] == [1.5, 0.8] and math.isnan(found["ratio"][2])


def test_csv_and_figure_are_written(run, rows, tmp_path, capsys):
    run.report(rows, "a machine", tmp_path / "b.csv", tmp_path / "b.png")
    lines = (tmp_path / "b.csv").read_text().splitlines()
    assert lines[0].startswith("work,peer,ours,peers,unit,ratio,target,met")
    assert lines[3].startswith("tokens,peak,,,tokens/s,,>= 0.5,not run,0,not run: no GPU")
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    assert "no       harvest | bare forward: 80 against 100 tokens/s, ratio 0.80" in capsys.readouterr().out


def test_the_machine_is_described(run):
    assert "cores" in run.machine() and "torch" in run.machine()


def test_the_span_of_a_study_is_read_from_what_jobs_noted(run, tmp_path):
    """One job from 0 s to 100 s, one from 60 s to 130 s."""
    import workflow_rows

    for name, seconds, end in (("a", 100, 1100), ("b/c", 70, 1130)):
        path = tmp_path / f"{name}.run.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"wall_s": seconds, "written_ns": {"first": 10**9, "last": end * 10**9}}))
    assert workflow_rows.span(tmp_path) == 130


def test_without_a_finished_study_nothing_is_claimed(run, tmp_path, monkeypatch):
    import workflow_rows

    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("study: nowhere\n")
    found = workflow_rows.measurements(tmp_path / "config.yaml")
    assert [run.was_run(row) for row in found] == [False, False] and "nowhere" in found[0].note
