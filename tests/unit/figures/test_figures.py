"""Every page draws from tidy tables alone, says what it cannot show, and has the same bytes in every process."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

sys.path.insert(0, str(Path(__file__).parent))
import synthetic_tables

from rlgen.figures import effects, fig1_behaviour, fig5_mediation, fig6_selection, page, style, tables
from rlgen.files import ArtifactError

SCRIPTS = Path(__file__).parents[3] / "scripts"
FIGURES = [name for name in synthetic_tables.SETTINGS if name.startswith("fig")]
TABLES = [name for name in synthetic_tables.SETTINGS if name.startswith("table")]
RUN_ALL = """
import json, runpy, sys
for script, *options in json.loads(sys.stdin.read()):
    sys.argv = [script, *options]
    runpy.run_path(script, run_name="__main__")
"""


def draw(name: str, **replaced):
    """The page of the synthetic study, with tables or settings replaced."""
    module = importlib.import_module(f"rlgen.figures.{name}")
    read = synthetic_tables.tables_of(name)
    read |= {key: replaced.pop(key) for key in list(replaced) if key in read}
    return module.draw(module.Settings.model_validate(synthetic_tables.SETTINGS[name] | replaced), *read.values())


def words(figure) -> str:
    """All text of a page, line breaks undone."""
    return " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """Command line of every script, and a function that runs them all in one new process into a folder."""
    source = tmp_path_factory.mktemp("tables")

    def run_all(folder: Path, hash_seed: str) -> None:
        calls = []
        for name in [*FIGURES, *TABLES]:
            options = ["--cfg", json.dumps(synthetic_tables.SETTINGS[name])]
            for option, table in synthetic_tables.tables_of(name).items():
                path = source / f"{option}.parquet" if option in ("features", "scores") else source / f"{option}.csv"
                table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
                options += [f"--{option}", str(path)]
            first, second = ("pdf", "png") if name in FIGURES else ("csv", "tex")
            options += ["--output", str(folder / f"{name}.{first}"), f"--{second}", str(folder / f"{name}.{second}")]
            calls.append([str(SCRIPTS / f"figures/{name}.py"), *options])
        env = os.environ | {"PYTHONPATH": str(SCRIPTS), "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", RUN_ALL], input=json.dumps(calls), text=True, check=True, env=env)

    return run_all


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(commands, tmp_path):
    for seed in ("1", "2"):
        commands(tmp_path / seed, seed)
    names = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert len(names) == 2 * len(FIGURES + TABLES)
    assert [n for n in names if (tmp_path / "1" / n).read_bytes() != (tmp_path / "2" / n).read_bytes()] == []
    for name in FIGURES:
        pdf = (tmp_path / "1" / f"{name}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF") and b"CreationDate" not in pdf
        assert b"/Subtype /Image" not in pdf, f"{name} holds pixels"


@pytest.mark.parametrize("name", [*FIGURES, *TABLES])
def test_help_works_without_heavy_imports(name):
    script = str(SCRIPTS / f"figures/{name}.py")
    code = f"import runpy, sys; sys.argv = ['x', '--help']; runpy.run_path({script!r}, run_name='__main__')"
    guard = "import sys; sys.modules.update(dict.fromkeys(['torch', 'snakemake', 'matplotlib', 'pandas']));" + code
    result = subprocess.run([sys.executable, "-c", guard], capture_output=True, text=True)
    assert result.returncode == 0 and "--cfg" in result.stdout, result.stderr


@pytest.mark.parametrize("name", FIGURES)
def test_page_names_study_and_seeds_in_readable_print(name):
    figure = draw(name)
    text = words(figure)
    assert "Study synthetic." in text and "3 seeds" in text
    figure.canvas.draw()
    small = {t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text() and t.get_fontsize() < 8}
    assert small == set()
    assert figure.get_size_inches()[0] <= 11.7


@pytest.mark.parametrize("name", FIGURES)
def test_page_of_empty_tables_speaks_instead_of_crashing(name, tmp_path):
    empty = {option: table.iloc[:0] for option, table in synthetic_tables.tables_of(name).items()}
    figure = draw(name, **empty)
    style.save(figure, tmp_path / "page.pdf", tmp_path / "page.png")
    assert "0 seeds" in words(figure)


@pytest.mark.parametrize("name", FIGURES)
def test_page_of_one_seed(name):
    one = {option: table[table["seed"] == 1] for option, table in synthetic_tables.tables_of(name).items()}
    assert "1 seed" in words(draw(name, **one))


def test_page_without_contrast():
    roles = {"reference": "base", "target": "rl"}
    assert "base / rl:" in words(draw("fig1_behaviour", roles=roles))
    draw("fig6_selection", roles=roles)


def test_empty_set_is_said_in_words():
    assert words(draw("fig6_selection")).count("no set: nothing to edit") == 4
    text = words(draw("fig5_mediation"))
    assert "published empty in every seed" in text and "empty: the tasks' lists share no latent" in text


def test_a_set_missing_in_one_seed_is_said():
    table = synthetic_tables.effects()
    table = table[~((table["procedure"] == "contribution") & (table["state"] == "base") & (table["seed"] == 1))]
    assert "seed 1: nothing to edit" in words(draw("fig6_selection", effects=table))


def test_no_critical_samples_is_said_in_words():
    scores, overlap, sets = synthetic_tables.mediation()
    sets = sets.assign(size=0, critical=0, carried_share=np.nan, latents="", note="no critical samples on any task")
    scores = scores.assign(score=0.0, threshold=np.nan, kept=False)
    text = words(draw("fig5_mediation", scores=scores, overlap=overlap.assign(jaccard=0.0), sets=sets))
    assert "no critical samples on any task" in text and "no positive score" in text and "0 to 0 critical" in text
    none = words(draw("fig5_mediation", scores=scores.iloc[:0], overlap=overlap.iloc[:0], sets=sets))
    assert "no critical samples: the models never differ" in none and "no two tasks have" in none


def test_published_values_only_where_every_task_has_one():
    published = {"sft": {"add": 0.7}, "rl": {"add": 0.8, "par": 0.5}}
    figure = draw("fig1_behaviour", published=published)
    in_domain, selection, unseen = figure.subfigs[1].subfigs[0].get_axes()
    for ax, said, stars in (
        (in_domain, ["base\nnot published", "sft", "rl"], [0.7, 0.8]),
        (selection, ["base\nnot published", "sft\nnot published", "rl\nnot published"], []),
        (unseen, ["base\nnot published", "sft\nnot published", "rl\n1 of 2 published"], []),
    ):
        assert [label.get_text() for label in ax.get_xticklabels()] == said
        assert [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "*"] == stars
    assert "published" not in words(draw("fig1_behaviour"))


def test_benchmarks_are_read_one_way_only():
    """They have no answers to choose from but their own: nothing is called blind to format."""
    assert "format-blind" in words(draw("fig1_behaviour")) and "Greedy decoding" in words(draw("fig1_behaviour"))
    table = synthetic_tables.accuracy()
    table = table[table["metric"] != "format_blind"]
    text = words(draw("fig1_behaviour", accuracy=table))
    assert "ormat-blind" not in text and "as the benchmarks define them" in text
    columns = draw_table1(table)
    assert {"base", "sft", "rl"} < columns and not any("format-blind" in name for name in columns)


def draw_table1(accuracy) -> set[str]:
    """Columns of table 1."""
    settings = tables.TasksPage.model_validate(synthetic_tables.PAGE | {"tasks": synthetic_tables.TASKS})
    return set(tables.table1(settings, accuracy)[1].columns)


def test_misspelt_setting_is_refused():
    with pytest.raises(ValueError, match="chanse"):
        fig1_behaviour.Settings.model_validate(synthetic_tables.PAGE | {"chanse": {}})


def test_missing_column_and_foreign_file_are_named(tmp_path):
    path = tmp_path / "accuracy.csv"
    synthetic_tables.accuracy().drop(columns="lo").to_csv(path, index=False)
    with pytest.raises(ArtifactError, match=r"accuracy\.csv: column\(s\) lo missing"):
        page.read(path, fig1_behaviour.ACCURACY_COLUMNS)
    path.write_bytes(b"")
    with pytest.raises(ArtifactError, match="not a readable CSV"):
        page.read(path, ["lo"])


def test_csv_keeps_names_that_look_missing(tmp_path):
    (tmp_path / "t.csv").write_text("task,value\nnull,1\nNA,\n")
    table = page.read(tmp_path / "t.csv", ["task", "value"])
    assert list(table["task"]) == ["null", "NA"] and np.isnan(table["value"][1])


def test_numbers_are_printed_as_shares():
    assert [style.share(v) for v in (0.264, 1.0, 0.996, -0.04, 0.0, np.nan)] == [
        ".26",
        "1.0",
        "1.0",
        "-.04",
        ".00",
        "–",
    ]
    assert [style.change(v) for v in (0.344, -0.12, np.nan)] == ["+.34", "−.12", "–"]


def test_forest_counts_seeds_in_which_the_set_exceeds_every_random_set():
    settings = fig6_selection.Settings.model_validate(synthetic_tables.SETTINGS["fig6_selection"])
    rows = [("selected", 0, 0.3), ("random", 0, 0.2), ("random", 0, 0.1), ("selected", 1, 0.1), ("random", 1, 0.2)]
    own = pd.DataFrame(rows, columns=["set_kind", "seed", "change"])
    own["part"] = own["set_kind"].replace({"selected": "main"})
    line = effects.Line("contribution", "exchange", "", "")
    assert effects._words(settings, "base", line, own) == "+.20 | +.17 | – | 1/2"
    assert effects._words(settings, "rl", line, own) == "+.20 | +.17 | – | 1/2"  # down is better there: seed 1 only


def test_tables_hold_hand_computed_means():
    settings = page.TasksPage.model_validate(synthetic_tables.SETTINGS["table1_accuracies"])
    row = dict(
        model="rl", checkpoint=5, role="in_domain", task="add", half="test", n=150, metric="accuracy", lo=0.0, hi=1.0
    )
    table = pd.DataFrame(
        [
            row | {"seed": 0, "value": 0.2},
            row | {"seed": 1, "value": 0.4},
            row | {"seed": 1, "value": 0.9, "checkpoint": 4},
        ]
    )
    tidy, wide = tables.table1(settings, table)
    assert list(tidy["value"]) == [0.2, 0.4]
    assert wide.loc[0, "rl"] == "0.30 (0.20, 0.40)" and wide.loc[0, "base"] == "–"


def test_intervention_table_summarises_controls_and_drops_the_unedited():
    settings = effects.Settings.model_validate(synthetic_tables.SETTINGS["table2_interventions"])
    source = synthetic_tables.effects()
    tidy, wide = tables.table2(settings, source)
    where = "procedure == 'dedicated' and state == 'rl' and role == 'unseen' and seed == 2"
    row, own = tidy.query(where).iloc[0], source.query(where + " and chosen")
    random = own.query("set_kind == 'random'")["change"]
    assert row["random_mean"] == pytest.approx(random.mean()) and row["random_min"] == random.min()
    assert row["random_size"] == 6 and row["change"] == own.query("set_kind == 'selected'")["change"].item()
    assert "none" not in set(tidy["edit"]) and {"procedure", "change", "random sets"} <= set(wide.columns)


def test_latex_escapes_names_and_names_the_study(tmp_path):
    settings = page.Page.model_validate(synthetic_tables.PAGE)
    wide = pd.DataFrame({"task": ["a_b"], "x": ["–"]})
    tables.write(wide, wide, tmp_path / "t.csv", tmp_path / "t.tex", settings, "Cells.")
    text = (tmp_path / "t.tex").read_text()
    assert r"a\_b" in text and "Study synthetic" in text and r"\toprule" in text
    tables.write(wide.iloc[:0], wide.iloc[:0], tmp_path / "t.csv", tmp_path / "t.tex", settings, "Cells.")
    assert "nothing to report" in (tmp_path / "t.tex").read_text()


def test_set_members_are_read_from_text():
    sets = pd.DataFrame({"seed": [0, 0, 1], "task": ["ALL", "max", "ALL"], "latents": ["3 17", "5", np.nan]})
    assert fig5_mediation._members(sets, 0) == {3, 17} and fig5_mediation._members(sets, 1) == set()
