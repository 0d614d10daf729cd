"""What the scripts of pages share: options as their rules give them, tables in the order asked for."""

import sys

import pandas as pd
import pytest

from rlgen.figures.command import page_arguments, read_page
from rlgen.figures.page import Page
from rlgen.files import ArtifactError

CFG = '{"study": "s", "roles": {"reference": "base", "target": "rl"}}'


def arguments(monkeypatch, *options: str):
    """The options of a page of two tables."""
    monkeypatch.setattr(sys, "argv", ["page", "--cfg", CFG, "--output", "a.pdf", "--png", "a.png", *options])
    return page_arguments("A page.", "png", "scores", "sets")


@pytest.fixture
def files(tmp_path):
    found = {}
    for name, values in {"a": [1, 2], "b": [3], "sets": [4]}.items():
        found[name] = str(tmp_path / f"{name}.csv")
        pd.DataFrame({"value": values, "name": ["null"] * len(values)}).to_csv(found[name], index=False)
    return found


def test_tables_come_in_the_order_asked_for_and_several_files_are_one_table(monkeypatch, files):
    args = arguments(monkeypatch, "--scores", files["b"], files["a"], "--sets", files["sets"])
    settings, sets, scores = read_page(args, Page, sets=["value"], scores=["value", "name"])
    assert settings.roles.models() == ["base", "rl"]
    assert sets["value"].tolist() == [4]
    assert scores["value"].tolist() == [3, 1, 2] and scores.index.tolist() == [0, 1, 2]


def test_a_page_without_one_of_its_tables_is_refused(monkeypatch, files, capsys):
    with pytest.raises(SystemExit):
        arguments(monkeypatch, "--scores", files["a"])
    assert "--sets" in capsys.readouterr().err


def test_a_missing_column_is_named_with_its_file(monkeypatch, files):
    args = arguments(monkeypatch, "--scores", files["a"], "--sets", files["sets"])
    with pytest.raises(ArtifactError, match=r"sets\.csv: column\(s\) size missing"):
        read_page(args, Page, scores=["value"], sets=["size"])
