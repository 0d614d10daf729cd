"""What counts as a change of code, and which scripts a module belongs to."""

import ast
from pathlib import Path

import pytest

from rlgen.jobs import code as code_digest_module
from rlgen.jobs.code import Look, code_digest, code_digests, sources

RUN = """'A script.'
from rlgen import a


def main():
    from rlgen.deep.c import thing

    return a.f(thing)
"""
B = """from pydantic import Field


def g(x):
    # half
    return x / 2


Y = Field(1, ge=0, description='y')
"""
FILES = {
    "run.py": RUN,
    "rlgen/__init__.py": "",
    "rlgen/a.py": "import math\n\nimport rlgen.b\n\n\ndef f(x):\n    return rlgen.b.g(x)\n",
    "rlgen/b.py": B,
    "rlgen/deep/__init__.py": "",
    "rlgen/deep/c.py": "thing = 1\n",
    "rlgen/unused.py": "z = 1\n",
    "rlgen/unused.cpp": "int z = 1;\n",
    "rlgen/b.cpp": "int half(int x) { return x / 2; }\n",
    "rlgen/b.h": "int half(int x);\n",
}


@pytest.fixture
def scripts(tmp_path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_what_only_type_checkers_import_is_not_followed(scripts):
    typed = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from rlgen.unused import z\n"
    (scripts / "rlgen/a.py").write_text(typed + FILES["rlgen/a.py"])
    assert "rlgen.unused" not in sources(scripts / "run.py") and "rlgen.b" in sources(scripts / "run.py")


def test_sources_are_followed_through_modules_and_functions(scripts):
    found = sources(scripts / "run.py")
    modules = ["rlgen", "rlgen.a", "rlgen.b", "rlgen.b.cpp", "rlgen.b.h", "rlgen.deep", "rlgen.deep.c", "script"]
    assert list(found) == modules
    assert found["rlgen.deep"] == scripts / "rlgen/deep/__init__.py"


def test_files_in_the_folder_of_a_modules_name_belong_to_it(scripts):
    before = code_digest(scripts / "run.py")
    for folder in ("rlgen/b", "rlgen/unused"):
        (scripts / folder).mkdir()
        (scripts / folder / "page.html").write_text("<p>")
    found = sources(scripts / "run.py")
    assert found["rlgen.b/page.html"] == scripts / "rlgen/b/page.html" and "rlgen.unused/page.html" not in found
    with_it = code_digest(scripts / "run.py")
    (scripts / "rlgen/b/page.html").write_text("<p >")
    assert len({before, with_it, code_digest(scripts / "run.py")}) == 3
    assert not any(
        "/" in name for name in sources(scripts / "rlgen/deep/c.py")
    )  # a package's modules are not its files


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("rlgen/b.py", "    # half\n", "    # one half of it\n\n"),
        ("rlgen/b.py", "return x / 2", "return (x / 2)"),
        ("rlgen/b.py", "def g(x):\n", 'def g(x):\n    """Half of x."""\n'),
        ("rlgen/b.py", "description='y'", "description='the height'"),
        ("run.py", "A script.", "The script."),
        ("rlgen/unused.py", "1", "2"),
        ("rlgen/unused.cpp", "1", "2"),
    ],
)
def test_prose_layout_and_unused_modules_change_nothing(scripts, name, old, new):
    before = code_digest(scripts / "run.py")
    (scripts / name).write_text(FILES[name].replace(old, new))
    assert code_digest(scripts / "run.py") == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("rlgen/b.py", "x / 2", "x / 3"),
        ("rlgen/b.py", "ge=0", "ge=1"),
        ("rlgen/deep/c.py", "1", "2"),
        ("rlgen/deep/__init__.py", "", "import os\n"),
        ("run.py", "a.f(thing)", "a.f(2)"),
        ("rlgen/b.cpp", "x / 2", "x / 3"),
        ("rlgen/b.h", "int x", "long x"),
    ],
)
def test_a_change_of_meaning_changes_the_digest(scripts, name, old, new):
    before = code_digest(scripts / "run.py")
    (scripts / name).write_text(FILES[name].replace(old, new) if old else new)
    assert code_digest(scripts / "run.py") != before


def test_every_script_of_the_project_has_a_digest():
    root = Path(__file__).parents[3] / "scripts"
    digests = {path.stem: code_digest(path) for path in root.glob("*.py")}
    assert len(set(digests.values())) == len(digests)
    assert "rlgen.study.config" not in set().union(
        *(sources(root / f"{name}.py") for name in digests if name != "describe_config")
    )


def test_relative_imports_and_missing_scripts_are_refused(scripts):
    (scripts / "rlgen/a.py").write_text("from . import b\n")
    with pytest.raises(ValueError, match="relative import"):
        code_digest(scripts / "run.py")
    with pytest.raises(FileNotFoundError):
        code_digest(scripts / "absent.py")


@pytest.fixture
def forget(monkeypatch, tmp_path):
    """Work in a folder of Snakemake's; the function forgets what this process has read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()

    def forget():
        code_digest_module._read.cache_clear()
        code_digest_module._known.cache_clear()

    forget()
    yield forget
    forget()


def test_a_text_that_was_read_before_is_not_parsed_again(scripts, forget, monkeypatch):
    before = code_digests(scripts / "run.py")
    forget()
    monkeypatch.setattr(code_digest_module, "_parsed", None)
    assert code_digests(scripts / "run.py") == before
    (scripts / "rlgen/b.py").write_text(B.replace("2", "3"))
    with pytest.raises(TypeError, match="not callable"):
        code_digest(scripts / "run.py")


@pytest.mark.parametrize("damage", ["", "[]", '{"a": 1}', '{"a": [["rlgen"]]}'])
def test_what_was_written_down_may_be_lost(scripts, forget, damage):
    before = code_digests(scripts / "run.py")
    code_digest_module.READ.write_text(damage)
    forget()
    assert code_digests(scripts / "run.py") == before


def test_another_reader_reads_anew(scripts, forget, monkeypatch):
    before = code_digests(scripts / "run.py")
    forget()
    monkeypatch.setattr(code_digest_module, "_reader", lambda: "of another Python")
    monkeypatch.setattr(code_digest_module, "_parsed", lambda text: ([], "read anew"))
    assert before["script"] != code_digests(scripts / "run.py")["script"] == "read anew"


def test_digests_are_the_same_in_later_pythons(scripts, monkeypatch):
    """Python 3.12 and later give classes and functions a list of type parameters, most often an empty one."""
    before = code_digest_module._parsed("class A:\n    def f(self):\n        return 1\n")
    parse = ast.parse

    def later(text):
        tree = parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                node.type_params, node._fields = [], (*node._fields, "type_params")
        return tree

    monkeypatch.setattr(ast, "parse", later)
    assert code_digest_module._parsed("class A:\n    def f(self):\n        return 1\n") == before


def test_many_scripts_look_at_each_file_once_and_find_what_each_finds_alone(scripts, monkeypatch):
    (scripts / "other.py").write_text("from rlgen.a import x\n")
    names, read, plain = ("run.py", "other.py"), [], code_digest_module._read
    (scripts / "rlgen/b").mkdir()
    (scripts / "rlgen/b/page.html").write_text("<p>")
    alone = [(sources(scripts / name), code_digests(scripts / name)) for name in names]
    monkeypatch.setattr(code_digest_module, "_read", lambda *file: read.append(file) or plain(*file))
    look = Look()
    assert [(sources(scripts / name, look), code_digests(scripts / name, look)) for name in names] == alone
    assert len(read) == len({path for found, _ in alone for path in found.values()})
    (scripts / "rlgen/a.py").write_text(FILES["rlgen/a.py"] + "more = 1\n")
    assert code_digests(scripts / "run.py", look) == alone[0][1] != code_digests(scripts / "run.py")
