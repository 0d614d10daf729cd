"""The ledger's page and its script: the title counts, marks differ in grey, missing tables are said, same bytes."""

import json
import subprocess
import sys
from pathlib import Path

import ledger_tables as made
import matplotlib.colors
import pytest
from matplotlib.text import Text

from rlgen.figures import claims, style
from rlgen.files import read_csv
from rlgen.ledger.evidence import COLUMNS
from rlgen.ledger.verdicts import VERDICTS, judge

SCRIPT = Path(__file__).parents[3] / "scripts/figures/judge_claims.py"
EIGHT = list(range(3, 11))
ROLES = {"reference": "base", "target": "rl", "contrast": "sft"}


def settings(seeds: list[int], *names: str) -> claims.Settings:
    return claims.Settings(study="small", roles=ROLES, seeds=seeds, top=50, claims=made.claims(*names))


def drawn(seeds: list[int], tables: dict | None = None, *names: str):
    page = settings(seeds, *names)
    ledger = judge("small", page.claims, made.tables(seeds) if tables is None else tables, made.STUDY, seeds)
    return page, ledger, claims.draw(page, ledger)


def words(figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")


def test_the_title_counts_what_holds():
    assert "12 of 13 claims hold over 8 seeds; 0 fail, 0 not decidable, 1 no data." in words(drawn(EIGHT)[2])
    text = words(drawn(made.SEEDS)[2])
    assert "12 of 13 claims hold in each of 3 seeds; 0 fail, 0 mixed, 1 no data." in text
    assert "3 seeds can reach p = 1/8: too few for a test over seeds, none of 11 claims can hold" in text
    assert "the claim nothing: fails." in text
    assert "12 of 13 claims hold in 1 seed; 0 fail, 0 mixed, 1 no data." in words(drawn([3])[2])


def test_a_claim_that_failed_is_counted_as_one():
    tables = made.tables(EIGHT)
    tables["comparisons"]["difference"] = -0.1
    assert "11 of 13 claims hold over 8 seeds; 1 fail, 0 not decidable, 1 no data." in words(drawn(EIGHT, tables)[2])


def test_one_mark_per_claim_and_seed_and_every_line_says_its_bound():
    _, ledger, figure = drawn(EIGHT)
    (ax,) = [ax for part in figure.subfigs for ax in part.axes]
    marks = [line for line in ax.lines if line.get_linestyle() == "None"]
    assert len(marks) == 8 * len(made.CLAIMS)
    text = words(figure)
    for row in ledger[ledger["seed"] == "ALL"].itertuples():
        assert row.says in text and (not row.bound or f"bound {row.bound}" in text)
    assert "nobody looked" in text and "strongest of 3 rivals, each at its own dose" in text


def test_marks_differ_in_shape_or_filling_not_in_colour_alone():
    assert set(claims.MARKS) == set(VERDICTS)
    looks = [(mark["marker"], mark.get("mfc") == "white") for mark in claims.MARKS.values()]
    assert len(set(looks)) == len(looks)
    grey = [matplotlib.colors.to_rgb(claims.MARKS[v].get("color", "black")) for v in VERDICTS]
    assert all(sum(rgb) < 2 for rgb in grey), "too pale on white"


def test_print_is_readable_and_the_page_fits():
    figure = drawn(EIGHT)[2]
    style.settle(figure)
    small = [t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text() and t.get_fontsize() < 8]
    assert small == [] and figure.get_size_inches()[0] <= 11.7
    renderer, width = figure.canvas.get_renderer(), figure.bbox.width
    (ax,) = [ax for part in figure.subfigs for ax in part.axes]
    assert all(text.get_window_extent(renderer).x1 <= width for text in ax.texts)


def test_no_claims_and_no_tables_are_said():
    page = claims.Settings(study="small", roles=ROLES, seeds=[0], top=50, claims={})
    empty = judge("small", {}, {}, made.STUDY, [0])
    assert "the study states no claims" in words(claims.draw(page, empty))
    assert "% no claims are stated" in claims.as_latex(page, empty)
    text = words(drawn(made.SEEDS, {})[2])
    assert "0 of 13 claims hold in each of 3 seeds; 0 fail, 0 mixed, 13 no data." in text
    assert "the study has no table 'recovery'" in text


def test_latex_has_a_line_per_claim():
    page, ledger, _ = drawn(made.SEEDS)
    text = claims.as_latex(page, ledger)
    assert (
        text.count(r"\\") == len(made.CLAIMS) + 1
        and "holds, holds, holds" in text
        and text.startswith("% Study small.")
    )


def test_the_script_takes_every_table_that_claims_are_judged_from():
    said = subprocess.run([sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, check=True).stdout
    assert all(f"--{name} " in said for name in COLUMNS)


@pytest.fixture
def command(tmp_path):
    """The script's command into a folder, from all tables or some."""
    tables = made.tables()
    for name, table in tables.items():
        path = tmp_path / f"{name}.{'parquet' if name in ('features', 'effects', 'comparisons') else 'csv'}"
        table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    halves = [tables["features"].query("dictionary == @d") for d in ("base-rl", "base-sft")]
    for i, half in enumerate(halves):
        half.to_parquet(tmp_path / f"features{i}.parquet")

    def run(folder: Path, *without: str) -> None:
        folder.mkdir()
        options = ["--cfg", settings(made.SEEDS).model_dump_json()]
        for path in sorted(tmp_path.glob("*.*")):
            if path.stem not in without and path.is_file() and not path.stem.startswith("features"):
                options += [f"--{path.stem}", str(path)]
        options += ["--features", str(tmp_path / "features0.parquet"), str(tmp_path / "features1.parquet")]
        options += ["--output", str(folder / "claims.csv")]
        options += [x for end in ("tex", "pdf", "png", "html") for x in (f"--{end}", str(folder / f"claims.{end}"))]
        subprocess.run([sys.executable, str(SCRIPT), *options], check=True)

    return run


def test_script_writes_five_files_of_the_same_bytes(command, tmp_path):
    command(tmp_path / "one")
    command(tmp_path / "two")
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["claims.csv", "claims.html", "claims.pdf", "claims.png", "claims.tex"]
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    table = read_csv(tmp_path / "one/claims.csv")
    direct = judge("small", made.claims(), made.tables(), made.STUDY, made.SEEDS)
    assert list(table["verdict"]) == list(direct["verdict"])


def test_script_without_a_table_says_no_data(command, tmp_path):
    command(tmp_path / "real", "recovery", "controls")
    table = read_csv(tmp_path / "real/claims.csv").query("claim == 'cause'")
    assert set(table["verdict"]) == {"no data"} and set(table["reason"]) == {"the study has no table 'recovery'"}
    assert json.loads(made.claim("cause").model_dump_json())["says"] == table["says"].iloc[0]
