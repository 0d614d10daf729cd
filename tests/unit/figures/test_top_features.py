"""Table 4: the first features of a set by hand-made tables, texts on one line, the firing token marked, TeX escaped."""

from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
import synthetic_tables
from hypothesis import given
from hypothesis import strategies as st

from rlgen.figures import forms, top_features
from rlgen.figures.forms import END, TYPEWRITER, UNDERLINE

PAGE = top_features.Settings(
    **synthetic_tables.PAGE, seeds=[3, 4], procedure="ours", recipe="small", score="contribution", shown=2
)
SETS = pd.DataFrame(
    [
        ("ours", 3, "ALL", 7, "5 0 9", None),
        ("ours", 3, "max", 7, "0", None),
        ("ours", 3, "cnt", 0, "", None),
        ("ours", 4, "ALL", 0, None, "no critical samples on any selection task"),
        ("theirs", 4, "ALL", 5, "1 2", None),
    ],
    columns=["procedure", "seed", "task", "critical", "latents", "note"],
)
SCORED = {"procedure": "ours", "seed": 3, "population": "critical", "score_name": "contribution"}
SCORES = pd.DataFrame(
    [
        SCORED | {"task": "max", "latent": 5, "score_share": 0.4},
        SCORED | {"task": "max", "latent": 0, "score_share": 0.1},
        SCORED | {"task": "let", "latent": 5, "score_share": 0.9},  # no task of the set
        SCORED | {"task": "cnt", "latent": 5, "score_share": 0.0},  # no critical samples
        SCORED | {"task": "max", "latent": 5, "score_share": 0.7, "score_name": "size"},
        SCORED | {"task": "max", "latent": 5, "score_share": 0.8, "population": "noncritical"},
        SCORED | {"task": "max", "latent": 5, "score_share": 0.6, "procedure": "theirs"},
    ]
)
FEATURES = pd.DataFrame(
    [
        ("small", 3, 5, 0.25, 0.75, 0.5, True),
        ("small", 3, 0, 0.0004, 0.5, -0.125, True),
        ("large", 3, 5, 0.5, 0.1, 0.1, True),
        ("small", 4, 5, 0.5, 0.2, 0.2, True),
    ],
    columns=["recipe", "seed", "latent", "frequency", "nrn_l1", "cosine", "alive"],
)
CONTEXTS = pd.DataFrame(
    [
        (3, 5, "base@1", 1, 2.0, "a_b", "b"),
        (3, 5, "base@1", 2, 1.0, "weak", "weak"),
        (3, 5, "rl@5", 1, 4.0, "50 % is\n{x}", "{x}"),
        (3, 5, "rl@5", 2, 3.0, "50 % is\n{x}", "{x}"),  # the same text, elsewhere in the stream
        (3, 5, "rl@5", 3, 0.5, "last", "t"),
        (3, 9, "rl@5", 1, 9.0, "not shown", "shown"),
        (4, 5, "rl@5", 1, 9.0, "of another seed", "seed"),
    ],
    columns=["seed", "latent", "member", "rank", "activation", "text", "token"],
)


@pytest.fixture
def tables():
    return top_features.table4(PAGE, SETS, SCORES, FEATURES, CONTEXTS)


def test_the_first_features_of_the_set_have_their_numbers_and_all_contexts(tables):
    tidy, _ = tables
    own = tidy[tidy["seed"] == 3]
    assert own["place"].tolist() == [1] * 5 + [2] and own["latent"].tolist() == [5] * 5 + [0]
    assert own["share"].tolist() == [0.4] * 5 + [0.1]
    first, second = own.iloc[0], own.iloc[5]
    assert (first["frequency"], first["nrn_l1"], first["cosine"]) == (0.25, 0.75, 0.5)
    assert (second["frequency"], second["nrn_l1"], second["cosine"]) == (0.0004, 0.5, -0.125)
    assert own["activation"].tolist()[:5] == [4.0, 3.0, 2.0, 1.0, 0.5] and np.isnan(second["activation"])
    assert (first["member"], first["text"], first["token"]) == ("rl@5", r"50 % is\n{x}", "{x}")


def test_a_seed_without_a_set_says_why(tables):
    tidy, wide = tables
    row = tidy[tidy["seed"] == 4].iloc[0]
    assert (tidy["seed"] == 4).sum() == 1 and np.isnan(row["place"])
    assert row["note"] == "no critical samples on any selection task" == wide.iloc[-1]["text"]


def test_one_reads_the_strongest_texts_that_differ(tables):
    _, wide = tables
    own = wide[:-1]
    assert own["latent"].tolist() == ["5", "", "", "0"] and own["place"].tolist() == ["1", "", "", "2"]
    assert own["model"].tolist() == ["rl@5", "base@1", "base@1", ""] and own["activation"].tolist()[0] == "4.0"
    assert own.iloc[0][["share", "frequency", "NRN", "cosine"]].tolist() == ["0.400", "0.25", "0.75", "0.50"]
    assert own.iloc[3]["text"] == "fires on no held-out row" and own.iloc[3]["frequency"] == "0.0004"


def test_latex_escapes_texts_and_underlines_the_token(tables, tmp_path):
    files = Namespace(output=tmp_path / "t.csv", tex=tmp_path / "t.tex", html=tmp_path / "t.html")
    forms.write(*tables, files, PAGE, PAGE.note, **top_features.FORM)
    text = (tmp_path / "t.tex").read_text()
    assert r"\texttt{50 \% is\textbackslash n\underline{\{x\}}}" in text and r"\texttt{a\_\underline{b}}" in text
    assert r"\begin{longtable}" in text and "booktabs and longtable" in text and "Study synthetic" in text
    assert not set(forms.COMMANDS) & set(text)
    table = pd.read_csv(tmp_path / "t.csv")
    assert len(table) == 7 and table["text"].isna().sum() == 2


@pytest.mark.parametrize(
    ("text", "token", "before", "last"),
    [
        ("the cat", " cat", "the", " cat"),
        ("cat", "cat", "", "cat"),
        ("caf\u00e9", "\ufffd", "caf", "\u00e9"),  # the second byte of a character of two
        ("caf\ufffd", "\ufffd", "caf", "\ufffd"),  # the first one
        ("\u00e9s. \u00c9t", "\ufffdt", "\u00e9s. ", "\u00c9t"),
        ("a ", "", "a", " "),  # a token that alone is nothing
        ("", "", "", ""),
    ],
)
def test_the_token_is_the_end_of_its_text(text, token, before, last):
    assert top_features.marked(text, token) == f"{TYPEWRITER}{before}{UNDERLINE}{last}{END}{END}"


@given(st.text(), st.text())
def test_marks_lose_no_letter_and_stand_for_themselves(before, token):
    text = top_features.readable(before + token)
    assert text.isprintable() and not set(forms.COMMANDS) & set(text)
    found = top_features.marked(text, top_features.readable(token))
    assert "".join(c for c in found if c not in forms.COMMANDS) == text
    assert not token or found.endswith(f"{UNDERLINE}{top_features.readable(token)}{END}{END}")


def test_what_is_printable_stays_and_the_rest_is_as_in_python():
    assert top_features.readable(
        "a\tb \u2003\x00\ue000<|im_end|>\u00e9"
    ) == r"a\tb \u2003\x00\ue000<|im_end|>\u00e9".replace(r"\u00e9", "\u00e9")


def test_contexts_come_with_their_seeds(tmp_path):
    columns = ["latent", "member", "rank", "activation", "text", "token"]
    for seed in (4, 3):
        CONTEXTS.loc[CONTEXTS["seed"] == seed, columns].to_parquet(tmp_path / f"{seed}.parquet")
    table = top_features.read_contexts([tmp_path / "4.parquet", tmp_path / "3.parquet"], [4, 3])
    assert table["seed"].tolist() == [4] + [3] * 6 and table["text"].iloc[0] == "of another seed"


def test_no_procedure_has_a_set(tmp_path):
    """Every table empty but the sets: a line per seed, no crash."""
    empty = SETS.assign(latents=None, note=None)
    tidy, wide = top_features.table4(PAGE, empty, SCORES.iloc[:0], FEATURES.iloc[:0], CONTEXTS.iloc[:0])
    assert tidy["seed"].tolist() == [3, 4] and wide["text"].tolist() == ["the set is empty"] * 2
