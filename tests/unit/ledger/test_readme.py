"""The README's quotation: studies side by side, drift is found, nothing but the marked part is written."""

import subprocess
import sys
from pathlib import Path

import ledger_tables as made
import pytest

from rlgen.files import read_csv, write_csv
from rlgen.ledger.readme import BEGIN, END, merged, quoted, rewritten
from rlgen.ledger.verdicts import judge

ROOT = Path(__file__).parents[3]
EIGHT = list(range(3, 11))


def ledger(study: str, seeds: list[int]):
    return judge(study, made.claims(), made.tables(seeds), made.STUDY, seeds)


def run(folder: Path, *options: str) -> subprocess.CompletedProcess:
    call = [sys.executable, str(ROOT / "scripts/tools/quote_claims.py"), *options]
    call += ["--copy", str(folder / "claims.csv"), "--readme", str(folder / "README.md")]
    return subprocess.run(call, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\n\nold\n\n{END}\n\nthe rest\n")
    write_csv(tmp_path / "claims.csv", ledger("three", made.SEEDS).iloc[:0])
    for study, seeds in (("three", made.SEEDS), ("eight", EIGHT)):
        write_csv(tmp_path / f"{study}.csv", ledger(study, seeds))
    return tmp_path


def test_studies_stand_side_by_side():
    text = quoted(merged(ledger("three", made.SEEDS), [ledger("eight", EIGHT)]))
    lines = text.splitlines()
    assert lines[0] == "| claim | bound | three (seeds 3, 4, 5) | eight (seeds 3, 4, 5, 6, 7, 8, 9, 10) |"
    (line,) = [line for line in lines if "the claim gains" in line]
    assert "| not decidable; median 0.50; seeds: 3 holds; Holm 1 | **holds**; median 0.50; seeds: 8 holds;" in line
    assert {line.count("|") for line in lines} == {5}
    assert next(line for line in lines if "the claim same" in line).count("no data: nobody looked") == 2


def test_a_claim_that_one_study_does_not_make_is_a_dash():
    one = judge("real", made.claims("gains"), made.tables(), made.STUDY, made.SEEDS)
    (line,) = [line for line in quoted(merged(ledger("three", made.SEEDS), [one])).splitlines() if "compact" in line]
    assert line.endswith("| – |")


def test_a_study_judged_anew_replaces_its_old_verdicts():
    old = merged(ledger("three", made.SEEDS), [ledger("eight", EIGHT)])
    new = merged(old, [judge("three", made.claims("gains"), made.tables(), made.STUDY, made.SEEDS)])
    assert set(new.loc[new["study"] == "three", "claim"]) == {"gains"}
    assert (new["study"] == "eight").sum() == (old["study"] == "eight").sum()


def test_command_writes_and_its_check_finds_drift(folder):
    assert run(folder, "--check").returncode == 1  # "old" stands there
    done = run(folder, "--claims", str(folder / "three.csv"), str(folder / "eight.csv"))
    assert done.returncode == 0, done.stderr
    text = (folder / "README.md").read_text()
    assert text.startswith(f"# Title\n\n{BEGIN}\n\n| claim |") and text.endswith(f"{END}\n\nthe rest\n")
    assert len(read_csv(folder / "claims.csv")) == (4 + 9) * len(made.CLAIMS)
    assert run(folder, "--check").returncode == 0
    assert run(folder).returncode == 0 and (folder / "README.md").read_text() == text  # without results
    (folder / "README.md").write_text(text.replace("**holds**", "**fails**", 1))
    drifted = run(folder, "--check")
    assert drifted.returncode == 1 and "run `make readme`" in drifted.stderr
    assert "**fails**; median" in (folder / "README.md").read_text()  # a check writes nothing


def test_a_readme_without_its_markers_is_refused(folder):
    (folder / "README.md").write_text(f"{END}\n{BEGIN}\n")
    refused = run(folder)
    assert refused.returncode == 1 and "expected the lines" in refused.stderr


def test_the_projects_readme_says_what_the_committed_verdicts_say():
    text = (ROOT / "README.md").read_text()
    assert rewritten(text, read_csv(ROOT / "docs/claims.csv")) == text
