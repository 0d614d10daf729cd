"""Every page draws from tidy tables alone, says what it cannot show, and has the same bytes in every process."""

import importlib
import inspect
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

sys.path.insert(0, str(Path(__file__).parent))
import synthetic_tables

from rlgen.figures import (
    effects,
    exclusive,
    fig1_behaviour,
    fig6_selection,
    forms,
    page,
    style,
    tables,
    wording,
)
from rlgen.files import ArtifactError
from rlgen.jobs.code import sources

SCRIPTS = Path(__file__).parents[3] / "scripts"
FIGURES = [name for name in synthetic_tables.SETTINGS if name.startswith("fig")]
TABLES = [name for name in synthetic_tables.SETTINGS if name.startswith("table")]
RUN_ALL = """
import json, runpy, sys
for script, *options in json.loads(sys.stdin.read()):
    sys.argv = [script, *options]
    runpy.run_path(script, run_name="__main__")
"""


def draw(name: str, part: str = "draw", **replaced):
    """A page of the synthetic study, with tables or settings replaced. `part`: `appendix` is the page behind it."""
    module = importlib.import_module(f"rlgen.figures.{name}")
    read = synthetic_tables.tables_of(name)
    read |= {key: replaced.pop(key) for key in list(replaced) if key in read}
    made = getattr(module, part)
    known = list(inspect.signature(made).parameters)[1:]
    return made(
        module.Settings.model_validate(synthetic_tables.SETTINGS[name] | replaced), *list(read.values())[: len(known)]
    )


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
                parts = [rows for _, rows in table.groupby("seed")] if option == "contexts" else [table]
                end = "parquet" if option in ("features", "scores", "contexts") else "csv"
                paths = [source / name / f"{option}{i}.{end}" for i in range(len(parts))]
                for part, path in zip(parts, paths, strict=True):
                    path.parent.mkdir(exist_ok=True)
                    part.to_parquet(path) if end == "parquet" else part.to_csv(path, index=False)
                options += [f"--{option}", *map(str, paths)]
            first, second = ("pdf", "png") if name in FIGURES else ("csv", "tex")
            options += ["--output", str(folder / f"{name}.{first}"), f"--{second}", str(folder / f"{name}.{second}")]
            options += ["--html", str(folder / f"{name}.html")] if name in TABLES else []
            calls.append([str(SCRIPTS / f"figures/{name}.py"), *options])
        env = os.environ | {"PYTHONPATH": str(SCRIPTS), "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", RUN_ALL], input=json.dumps(calls), text=True, check=True, env=env)

    return run_all


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(commands, tmp_path):
    for seed in ("1", "2"):
        commands(tmp_path / seed, seed)
    names = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert len(names) == 2 * len(FIGURES) + 3 * len(TABLES)
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


PARTS = [*((name, "draw") for name in FIGURES), *((name, "appendix") for name in FIGURES)]


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_page_names_study_and_seeds_in_readable_print(name, part):
    figure = draw(name, part)
    text = words(figure)
    assert "Study synthetic." in text and "3 seeds" in text
    figure.canvas.draw()
    small = {t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text() and t.get_fontsize() < 8}
    assert small == set()
    assert figure.get_size_inches()[0] <= 11.7


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_page_of_empty_tables_speaks_instead_of_crashing(name, part, tmp_path):
    empty = {option: table.iloc[:0] for option, table in synthetic_tables.tables_of(name).items()}
    figure = draw(name, part, **empty)
    if (name, part) == ("fig1_behaviour", "appendix"):
        assert draw(name, part, relearning={}, **empty) is None  # nothing was trained
    style.save(figure, tmp_path / "page.pdf", tmp_path / "page.png")
    assert "0 seeds" in words(figure)


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_page_of_one_seed(name, part):
    one = {option: table[table["seed"] == 1] for option, table in synthetic_tables.tables_of(name).items()}
    text = words(draw(name, part, **one))
    assert "1 seed" in text and "1 seeds" not in text


@pytest.mark.parametrize("name", [name for name in FIGURES if "leading" in synthetic_tables.SETTINGS[name]])
def test_page_without_a_leading_procedure(name):
    assert "No procedure" in words(draw(name, leading=None))


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_written_again_by_no_line_of_the_figures_look(name):
    assert not {"rlgen.figures.style", "rlgen.figures.effects"} & set(sources(SCRIPTS / f"figures/{name}.py"))


def test_page_without_contrast():
    roles = {"reference": "base", "target": "rl"}
    assert "Out of domain rl is above base" in words(
        draw("fig1_behaviour", roles=roles, models=["base", "rl"], relearning={})
    )
    draw("fig6_selection", roles=roles)


def test_empty_set_is_said_in_words():
    assert words(draw("fig6_selection", "appendix")).count("no set: nothing to edit") == 4
    text = words(draw("fig5_mediation", "appendix"))
    assert "published empty in every seed" in text and "empty: the tasks' lists share no latent" in text


def test_a_set_missing_in_one_seed_is_said():
    table = synthetic_tables.effects()
    table = table[~((table["procedure"] == "contribution") & (table["state"] == "base") & (table["seed"] == 1))]
    assert "seed 1: nothing to edit" in words(draw("fig6_selection", "appendix", effects=table))


def test_no_critical_samples_is_said_in_words():
    scores, overlap, sets = synthetic_tables.mediation()
    sets = sets.assign(size=0, critical=0, carried_share=np.nan, latents="", note="no critical samples on any task")
    scores = scores.assign(score=0.0, threshold=np.nan, kept=False)
    text = words(draw("fig5_mediation", "appendix", scores=scores, overlap=overlap.assign(jaccard=0.0), sets=sets))
    assert "no critical samples on any task" in text and "no positive score" in text and "0 to 0 critical" in text
    none = words(draw("fig5_mediation", "appendix", scores=scores.iloc[:0], overlap=overlap.iloc[:0], sets=sets))
    assert "no critical samples: the models never differ" in none and "no two tasks have" in none


def test_published_values_only_where_every_task_has_one():
    published = {"sft": {"add": 0.7}, "rl": {"add": 0.8, "par": 0.5}}
    figure = draw("fig1_behaviour", published=published, models=["base", "sft", "rl"])
    in_domain, selection, unseen = figure.subfigs[1].get_axes()
    for ax, said, stars in (
        (in_domain, ["base\nnot published", "sft", "rl"], [0.7, 0.8]),
        (selection, ["base\nnot published", "sft\nnot published", "rl\nnot published"], []),
        (unseen, ["base\nnot published", "sft\nnot published", "rl\n1 of 2 published"], []),
    ):
        assert [label.get_text() for label in ax.get_xticklabels()] == said
        assert [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "*"] == stars
    assert "published" not in words(draw("fig1_behaviour"))


def test_benchmarks_are_read_one_way_only():
    """They have no steps and no answers to choose from but their own: one row of readings; the course behind it."""
    text = words(draw("fig1_behaviour"))
    assert "own format" not in text and "Greedy decoding" in text and "always the commonest answer" in text
    text = words(draw("fig1_behaviour", "appendix"))
    assert "right steps, own format" in text and "likeliest of the task's states" in text
    table = synthetic_tables.accuracy()
    table = table[table["metric"].isin(["accuracy", "answer_logprob"])]
    benchmarks = {"accuracy": table, "relearning": {}, "chance": {"add": 0.25}}
    text = words(draw("fig1_behaviour", **benchmarks))
    assert "own format" not in text and "as the benchmarks define them" in text and "guessing" in text
    assert "commonest" not in text and "training steps" not in text
    assert "share of the training steps" in words(draw("fig1_behaviour", "appendix", **benchmarks))
    columns = draw_table1(table)
    assert {"base", "sft", "rl"} < columns and not any(", " in name for name in columns)


def read_both_ways(**changed) -> dict:
    """Settings and tables of a study whose tasks ask for their answers in one form."""
    accuracy = synthetic_tables.accuracy(("accuracy", "strict"))
    return {"accuracy": accuracy, "models": ["base", "sft", "rl"], "relearning": {}} | changed


def test_a_strict_reading_stands_beside_the_lenient_one():
    """In a model's column: filled what is read leniently, hollow and right of it the same answers strictly."""
    figure = draw("fig1_behaviour", **read_both_ways())
    finals = page.final_checkpoints(read_both_ways()["accuracy"].query("half == 'test' and task == 'ALL'"))
    for ax, role in zip(figure.subfigs[1].get_axes(), synthetic_tables.TASKS, strict=True):
        dots = [line for line in ax.lines if line.get_marker() in style.MARKERS]
        assert len(dots) == 3 * 2 * 3  # models, readings, seeds
        for x, (model, label) in enumerate(zip(["base", "sft", "rl"], ax.get_xticklabels(), strict=True)):
            column = [line for line in dots if round(line.get_xdata()[0]) == x]
            own = finals[(finals["role"] == role) & (finals["model"] == model)].sort_values("seed")
            for hollow, metric in ((False, "accuracy"), (True, "strict")):
                drawn = [line for line in column if (line.get_markerfacecolor() == "white") == hollow]
                values = list(own.loc[own["metric"] == metric, "value"])
                assert [line.get_ydata()[0] for line in drawn] == values
                assert {line.get_xdata()[0] > x + 0.1 for line in drawn} == {hollow}
            assert label.get_text() == f"{model}\nstrictly {wording.share(np.mean(values))}"
    text = words(figure)
    assert "Read strictly: out of domain" in text and "right only in the form that a task asks for" in text
    assert "strict" not in words(draw("fig1_behaviour"))


def test_training_that_teaches_the_form_is_seen_to_do_so():
    """A model that is above the reference leniently, and told apart from it by no strict reading."""
    table = read_both_ways()["accuracy"]
    table.loc[(table["metric"] == "strict"), ["value", "lo", "hi"]] = [0.5, 0.4, 0.6]
    text = words(draw("fig1_behaviour", **read_both_ways(accuracy=table)))
    assert "Out of domain rl is above base" in text
    assert "Read strictly: out of domain no model is told apart from base." in text
    table = table[(table["metric"] != "strict") | (table["role"] != "unseen")]  # a task that has no strict reading
    figure = draw("fig1_behaviour", **read_both_ways(accuracy=table))
    assert "Read strictly" not in words(figure)
    labels = [[t.get_text() for t in ax.get_xticklabels()] for ax in figure.subfigs[1].get_axes()]
    assert labels[2] == ["base", "sft", "rl"] and labels[1][0] == "base\nstrictly .50"


def test_the_course_of_training_is_read_both_ways():
    figure = draw("fig1_behaviour", "appendix", **read_both_ways())
    (part,) = figure.subfigs[1].subfigs
    table = read_both_ways()["accuracy"].query("half == 'test' and task == 'ALL' and metric == 'strict'")
    for ax, role in zip(part.get_axes(), synthetic_tables.TASKS, strict=True):
        assert [line.get_linestyle() for line in ax.lines] == ["-"] * 6 + ["--"] * 6  # two models, three seeds
        own = table[(table["role"] == role) & (table["seed"] == 2)].sort_values("checkpoint")
        base, rl = (own.loc[own["model"] == model, "value"] for model in ("base", "rl"))
        assert list(ax.lines[-1].get_ydata()) == [*base, *rl]
    assert "read strictly" in words(figure) and "--" not in words(draw("fig1_behaviour", "appendix", relearning={}))


def test_fig1_draws_every_model_and_where_what_is_taught_again_starts():
    accuracy = draw("fig1_behaviour").subfigs[1].get_axes()
    steps, again = (part.get_axes() for part in draw("fig1_behaviour", "appendix").subfigs[1].subfigs)
    for ax in (*accuracy, *steps):
        assert [label.get_text() for label in ax.get_xticklabels()] == ["base", "sft", "rl", "more"]
    table = synthetic_tables.accuracy().query("half == 'test' and task == 'ALL' and metric == 'accuracy'")
    for ax, role in zip(again, synthetic_tables.TASKS, strict=True):
        assert len(ax.lines) == 3 and all(list(line.get_xdata()) == [0, 50, 100, 150, 200, 250] for line in ax.lines)
        parent = table[table["role"] == role].query("model == 'sft' and checkpoint == 5").sort_values("seed")["value"]
        assert [line.get_ydata()[0] for line in ax.lines] == list(parent)
    for row, level in ((accuracy, 0.2), (steps, 0.25)):  # answering without the prompt
        dotted = [line.get_ydata()[0] for ax in row for line in ax.lines if line.get_linestyle() == ":"]
        assert dotted == pytest.approx([level] * 3)


@pytest.mark.parametrize(
    ("lo", "hi", "answer"),
    [
        (0.4, 0.6, "x is above base"),
        (0.0, 0.1, "x is below base"),
        (0.25, 0.6, "no model is told apart from base"),
    ],
)
def test_the_title_of_fig1_is_computed(lo, hi, answer):
    """base: .2 to .3 in both roles and seeds; x has the given interval in one role of one seed, and rises elsewhere."""
    keys = [(model, role, seed) for model in ("base", "x") for role in ("selection", "unseen") for seed in (0, 1)]
    table = pd.DataFrame(keys, columns=["model", "role", "seed"]).assign(metric="accuracy")
    base = table["model"] == "base"
    table["lo"], table["hi"] = np.where(base, 0.2, lo), np.where(base, 0.3, hi)
    if "apart" in answer:
        table.loc[~base & (table["seed"] == 0), ["lo", "hi"]] = 0.9
    settings = synthetic_tables.SETTINGS["fig1_behaviour"] | {"models": ["base", "x"]}
    page = fig1_behaviour.Settings.model_validate(settings)
    assert fig1_behaviour._answer(page, table) == f"Out of domain {answer}"
    assert [fig1_behaviour._listed(names) for names in (["a"], ["a", "b"], list("abc"))] == [
        "a",
        "a and b",
        "a, b and c",
    ]


def test_exclusive_latents_by_both_cuts():
    """Ours: both below .5. Public: within .2 of zero, and within .5. An undefined one is not."""
    nu = [(0.1, 0.4), (0.3, 0.4), (0.49, 0.49), (0.1, 0.6), (np.nan, np.nan), (-0.3, 0.1), (0.0, -0.6)]
    rows = pd.DataFrame(nu, columns=["nu_err", "nu_rec"])
    assert exclusive.counts(rows) == {"ours": 5, "public": 1}
    rows = rows.assign(
        dictionary="d", recipe="r", seed=0, alive=[True] * 6 + [False], nrn_l1=[0.8] * 2 + [0.6] + [0.8] * 4
    )
    table = exclusive.table(rows).iloc[0]
    assert (table["alive"], table["tail"], table["exclusive_ours"], table["exclusive_public"]) == (6, 5, 3, 1)


def test_dictionary_table_says_both_cuts_in_the_rows_of_the_tuned_member():
    settings = page.Page.model_validate(synthetic_tables.PAGE)
    tidy, wide = tables.table3(settings, synthetic_tables.quality(), synthetic_tables.features())
    counted = exclusive.table(synthetic_tables.features())
    rl = tidy.query("dictionary == 'base-rl' and recipe == 'l1' and seed == 1").set_index("member")
    row = counted.query("dictionary == 'base-rl' and recipe == 'l1' and seed == 1").iloc[0]
    assert (rl.loc["rl", "alive"], rl.loc["rl", "exclusive_public"]) == (row["alive"], row["exclusive_public"])
    assert rl.loc["base", ["alive", "tail"]].isna().all() and "exclusive, public cut" in wide
    alone, _ = tables.table3(settings, synthetic_tables.quality(), synthetic_tables.features().iloc[:0])
    assert len(alone) == len(synthetic_tables.quality()) and alone["alive"].isna().all()


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


def test_prompts_of_a_role_are_counted_once():
    rows = pd.DataFrame({"role": ["unseen", "unseen", "unseen", "selection"], "n": [750.0, 150.0, 750.0, 3.0]})
    assert [page.prompts(rows, role) for role in ("unseen", "selection", "in_domain")] == ["150/750", "3", "0"]


def test_numbers_are_printed_as_shares():
    assert [wording.share(v) for v in (0.264, 1.0, 0.996, -0.04, 0.0, np.nan)] == [
        ".26",
        "1.0",
        "1.0",
        "-.04",
        ".00",
        "–",
    ]
    assert [wording.change(v) for v in (0.344, -0.12, np.nan)] == ["+.34", "−.12", "–"]


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
    ends = {"output": "csv", "tex": "tex", "html": "html"}
    files = Namespace(**{name: tmp_path / f"t.{end}" for name, end in ends.items()})
    forms.write(wide, wide, files, settings, "Cells.")
    text = (tmp_path / "t.tex").read_text()
    assert r"a\_b" in text and "Study synthetic" in text and r"\toprule" in text
    forms.write(wide.iloc[:0], wide.iloc[:0], files, settings, "Cells.")
    assert all("nothing to report" in (tmp_path / f"t.{end}").read_text() for end in ("tex", "html"))


def test_html_escapes_texts_cuts_none_and_keeps_marks(tmp_path):
    settings = page.Page.model_validate(synthetic_tables.PAGE)
    long = "<script>" + "x" * 100
    marked = f"{forms.TYPEWRITER}a & {forms.UNDERLINE}b{forms.END}{forms.END}"
    text = forms.html(settings, pd.DataFrame({"task": [long], "x": [marked]}), "Cells < 1.")
    assert "&lt;script&gt;" + "x" * 100 in text and "<script>" not in text and "Cells &lt; 1." in text
    assert "<code>a &amp; <mark>b</mark></code>" in text and not set(forms.COMMANDS) & set(text)
    assert "http" not in text and text.startswith("<!doctype html>")


def test_set_members_are_read_from_text():
    sets = pd.DataFrame({"seed": [0, 0, 1], "task": ["ALL", "max", "ALL"], "latents": ["3 17", "5", np.nan]})
    assert page.members(sets, 0) == [3, 17] and page.members(sets, 1) == []
    alone = pd.DataFrame({"seed": [0, 1], "task": "ALL", "latents": [17, np.nan]})  # as a CSV of such sets is read
    assert page.members(alone, 0) == [17]


def test_latex_knows_the_signs_that_pages_print():
    """pdflatex refuses what its fonts have no letter for; dashes it knows."""
    settings = page.Page.model_validate(synthetic_tables.PAGE)
    text = forms.latex(settings, pd.DataFrame({"x": ["−.12 – a", "ν ± 2"]}), "Cells.")
    assert r"$-$.12 – a" in text and r"$\nu$ $\pm$ 2" in text
    assert {c for c in text if ord(c) > 127} <= {"–"}


@pytest.mark.parametrize(("title", "finding"), [("a", "b"), ("word " * 45, "word " * 50), ("word " * 20, "word " * 75)])
def test_the_head_never_reaches_into_the_page(title, finding):
    """A long title is set smaller: below it stands what it was found from, and below that the panels."""
    figure, body = style.new_page(11.7, 5.0)
    body.subplots().set_title("a panel")
    style.head_and_foot(figure, title, finding, page.Page.model_validate(synthetic_tables.PAGE), "note")
    style.settle(figure)
    head, below = (text.get_window_extent() for text in figure.texts[:2])
    assert head.y0 > below.y1 and below.y0 > (5.0 - style.HEAD) * figure.dpi
    assert head.x1 < figure.bbox.x1 and (figure.texts[0].get_fontsize() == 13) == (title == "a")


def test_words_about_an_empty_set_stay_in_their_panel():
    figure = draw("fig5_mediation", "appendix")
    style.settle(figure)
    told = [text for text in figure.findobj(Text) if text.get_text().startswith("empty:")]
    assert len(told) == 3
    for text in told:
        assert text.get_window_extent().x1 < text.axes.get_window_extent().x1


@pytest.mark.parametrize("own", ["elimination", "attribution"])
def test_a_score_has_one_colour_in_all_panels_of_fig12(own):
    tables = {name: table.replace({"score": {"elimination": own}}) for name, table in
              (("curves", synthetic_tables.curves()), ("areas", synthetic_tables.areas()))}  # fmt: skip
    tables = {name: table.drop_duplicates(["seed", "state", "role", "score", *(["size"] if name == "curves" else [])])
              for name, table in tables.items()}  # fmt: skip
    figure = draw("fig12_extended", score=own, **tables)
    selection, _, rotation = figure.subfigs[1].get_axes()
    (line,) = (line for line in selection.lines if line.get_label() == "attribution")
    marks = {mark.get_color() for mark in rotation.lines if mark.get_marker() == "o"}
    assert marks == {line.get_color()}
    assert (line.get_color() == style.SET_COLOUR) == (own == "attribution")
