"""Text is UTF-8 in every file, whatever the locale: by the source of all code, and in processes with other locales."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs import Project

from rlgen.files import canonical_json

ROOT = Path(__file__).parents[2]
OTHER_OPENS = {"os", "Shards", "HeldOut"}  # whose `open` opens no text file
PROCESSES = {"run", "Popen", "check_output", "check_call", "call"}
ELSEWHERE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "latin-1"}
TEXT = "Übung: 2 → 3 – ½ 数"


def code() -> list[Path]:
    """The library, the scripts, and what tests share: helpers, not the tests themselves."""
    helpers = (path for path in (ROOT / "tests").rglob("*.py") if not path.name.startswith("test_"))
    return sorted([*(ROOT / "scripts").rglob("*.py"), *helpers])


def in_the_locale(source: str) -> Iterator[int]:
    """Lines of a Python text that read or write text in the locale's encoding."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and "encoding" not in (given := {word.arg: word.value for word in call.keywords}):
            name, owner = _name(call.func)
            first = name == "open" and owner is None  # the mode is the second argument there
            mode = given.get("mode") or next(iter(call.args[first : first + 1]), None)
            binary = isinstance(mode, ast.Constant) and isinstance(mode.value, str) and "b" in mode.value
            opens = name in ("open", "fdopen") and (owner not in OTHER_OPENS or name == "fdopen") and not binary
            reads = name == "read_text" and not call.args
            writes = name == "write_text" and len(call.args) == 1
            talks = name in PROCESSES and owner == "subprocess" and {"text", "universal_newlines"} & given.keys()
            if opens or reads or writes or talks:
                yield call.lineno


def _name(function: ast.expr) -> tuple[str | None, str | None]:
    """(name, the name before its dot): `path.open` is ("open", "path"), `open` ("open", None)."""
    if isinstance(function, ast.Attribute):
        return function.attr, function.value.id if isinstance(function.value, ast.Name) else ""
    return getattr(function, "id", None), None


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("open(path)", True),
        ("open(path, 'a+')", True),
        ("open(path, 'rb')", False),
        ("open(path, mode='wb')", False),
        ("open(path, encoding='utf-8')", False),
        ("Path(path).open()", True),
        ("(folder / 'a').open('w')", True),
        ("path.open('rb')", False),
        ("os.open(path, os.O_RDONLY)", False),
        ("Shards.open(folders, members)", False),
        ("os.fdopen(3)", True),
        ("Path(path).read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text)", True),
        ("write_text(path, text)", False),
        ("subprocess.run(call, text=True)", True),
        ("subprocess.run(call, capture_output=True)", False),
        ("subprocess.Popen(call, encoding='utf-8')", False),
    ],
)
def test_the_scan_finds_text_in_the_locales_encoding(line, found):
    assert bool(list(in_the_locale(line))) == found


def test_all_code_says_in_which_encoding_it_reads_and_writes():
    paths = code()
    assert len(paths) > 200
    places = [f"{path.relative_to(ROOT)}:{line}" for path in paths for line in in_the_locale(path.read_text("utf-8"))]
    assert places == []


EVERYTHING = """
import json, sys
from pathlib import Path
from rlgen.files import file_digest, read_csv, write_csv, write_text
from rlgen.jobs.code import code_digest
from rlgen.sources.fetch import FetchSource, fetch
from rlgen.sources.stream import texts
from rlgen.study.load import ConfigError, load
from rlgen.tasks.shipped import read_documents

folder, told = Path(sys.argv[1]), {}
try:
    load(folder / "study.yaml")
except ConfigError as error:
    told["config"] = str(error)
cfg = FetchSource.model_validate_json(sys.argv[2])
told["facts"] = fetch(cfg.source, folder / "rows.jsonl", cfg.name)
told["rows"] = file_digest(folder / "rows.jsonl")
documents = read_documents(folder / "in.jsonl")
write_text(folder / "texts.jsonl", json.dumps({"text": documents[0]["q"]}, ensure_ascii=False))
told["texts"] = list(texts(folder / "texts.jsonl", None, 0, 0, 1))
told["code"] = code_digest(folder / "script.py")
print(ascii(told))
"""


def test_another_locale_reads_and_writes_the_same_bytes(tmp_path):
    """The settings come as rules pass them: on the command line."""
    (tmp_path / "in.jsonl").write_text(json.dumps({"q": TEXT, "a": "½"}, ensure_ascii=False) + "\n", encoding="utf-8")
    (tmp_path / "study.yaml").write_text(f"study: '{TEXT}'\n", encoding="utf-8")
    (tmp_path / "script.py").write_text(f'"""A script."""\nTEXT = "{TEXT}"\n', encoding="utf-8")
    form = {"kind": "problem", "prompt": "{{ q }} – bitte →", "answer": "{{ a }}"}
    source = {"files": [str(tmp_path / "in.jsonl")], "format": form}
    cfg = canonical_json({"name": "mine", "source": source}, only_ascii=True)
    told = []
    for changed in (ELSEWHERE, {"PYTHONUTF8": "1"}):
        call = [sys.executable, "-c", EVERYTHING, str(tmp_path), cfg]
        run = subprocess.run(call, env=os.environ | changed, capture_output=True)
        assert run.returncode == 0, run.stderr.decode()
        told.append(run.stdout)
        row = json.loads((tmp_path / "rows.jsonl").read_bytes())
        assert row == {"prompt": f"{TEXT} – bitte →", "answer": "½"}
    assert told[0] == told[1] and ascii(TEXT)[1:-1].encode() in told[0]


def test_a_job_elsewhere_writes_its_log_and_its_files_in_utf_8(tmp_path):
    project = Project(tmp_path / "project")
    project.script("say", 'print(cfg["text"], "\\ud800")\nwrite_text("results/s/out.txt", cfg["text"])\n')
    ended = project.run("say", ["results/s/out.txt"], cfg={"text": TEXT}, **ELSEWHERE)
    assert ended.status == 0 and f"{TEXT} \\ud800" in ended.log
    assert (project.results / "out.txt").read_bytes() == TEXT.encode()
    assert json.loads(project.manifest("say").read_bytes())["cfg"] == {"text": TEXT}


def test_settings_on_a_command_line_are_ascii():
    text = canonical_json({"b": TEXT, "a": 1}, only_ascii=True)
    assert text.isascii() and json.loads(text) == {"a": 1, "b": TEXT} and text.startswith('{"a":1,')
