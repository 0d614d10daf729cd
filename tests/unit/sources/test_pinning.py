"""`make pin`: every hub source of a study gets its commit, in place; nothing else in the file changes."""

import hashlib
import os
import subprocess
import sys
from functools import reduce
from operator import getitem
from pathlib import Path

import huggingface_hub
import pytest
import yaml
from hub_server import COMMIT, OTHER, Hub, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.files import ArtifactError
from rlgen.sources.pinning import pin, pinned, unpinned
from rlgen.tasks import shipped

ROOT = Path(__file__).parents[3]
STUDY = """\
# A study of models that others trained.
study: mine
models:
  base: {method: load, from: acme/base}  # in braces
  rl:
    from: acme/tuned   # with a comment
    revision: v1.0
    adapter: acme/lora
    earlier:
      - from: acme/tuned
        revision:
      - {from: acme/tuned, revision: step20}
      - from: acme/tuned
        revision: "decade0000000000000000000000000000000000"  # done already
  own:
    from: {folder}
  sft: {method: sft, parent: base}
data:
  sources:
    thoughts:
      hub: acme/thoughts
      revision: null  # see docs
      format: {kind: messages, role: from}
    local: {files: [rows.jsonl]}
  teacher: {from: acme/teacher, revision: null}
  benchmarks:
    math: {revision: null}
    quiz: {options: 4}  # of four
    quiz2:
      # of two
      options: 2
    riddles: {}
    stored: {files: {test: rows.jsonl}, options: 4}
published: {from: acme/elsewhere}
# the end
"""
DATA_SETS = {"math": "acme/math", "quiz": "acme/quizzes", "quiz2": "acme/quizzes", "riddles": "acme/riddles"}


def commit_of(kind: str, repository: str, revision: str | None) -> str:
    """A commit of its own for every question, so that a test sees which answer went where."""
    return hashlib.sha1(f"{kind} {repository} {revision}".encode()).hexdigest()


@pytest.fixture
def study(tmp_path) -> Path:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("{folder}", str(tmp_path / "folder")))
    return path


@pytest.fixture
def tasks(monkeypatch) -> None:
    monkeypatch.setattr(shipped, "data_set", DATA_SETS.__getitem__)


def filled(text: str, answer=commit_of) -> str:
    """A text with the commits that `answer` gives."""
    found = unpinned(text, DATA_SETS.__getitem__)
    return pinned(text, [(place, answer(place.kind, place.repository, place.revision)) for place in found])


def nobody(*_):
    raise AssertionError("asked again")


def test_every_source_gets_its_commit_and_nothing_else_changes(study, tasks):
    before, raw = yaml.safe_load(study.read_text()), study.read_text()
    lines = pin(study, check=False, commit_of=commit_of)
    after = yaml.safe_load(study.read_text())
    tuned = {name: commit_of("model", "acme/tuned", name) for name in ("v1.0", None, "step20")}
    expected = before
    expected["models"]["base"]["revision"] = commit_of("model", "acme/base", None)
    expected["models"]["rl"]["revision"] = tuned["v1.0"]
    expected["models"]["rl"]["adapter_revision"] = commit_of("model", "acme/lora", None)
    for step, commit in zip(expected["models"]["rl"]["earlier"], [tuned[None], tuned["step20"], OTHER], strict=True):
        step["revision"] = commit
    expected["data"]["sources"]["thoughts"]["revision"] = commit_of("dataset", "acme/thoughts", None)
    expected["data"]["teacher"]["revision"] = commit_of("model", "acme/teacher", None)
    for task, data_set in DATA_SETS.items():
        expected["data"]["benchmarks"][task]["revision"] = commit_of("dataset", data_set, None)
    assert after == expected
    text = study.read_text()
    comments = [
        "# A study of",
        "# in braces",
        "# with a comment",
        "# done already",
        "# see docs",
        "# of four",
        "# of two",
    ]
    for comment in [*comments, "# the end"]:
        assert comment in text
    assert f"revision: {tuned['v1.0']}  # v1.0\n" in text  # the tag stays readable
    changed = [line for line in raw.splitlines() if line not in text.splitlines()]
    assert all("acme/" in line or "revision" in line or "quiz:" in line or "riddles:" in line for line in changed)
    assert f"models.rl.revision: acme/tuned {tuned['v1.0']}" in lines and len(lines) == 11


def test_pinning_twice_changes_nothing_and_asks_nobody(study, tasks):
    pin(study, check=False, commit_of=commit_of)
    text = study.read_text()
    assert pin(study, check=False, commit_of=nobody) == [] and study.read_text() == text


def test_of_a_pinned_study_no_task_is_looked_up(study, tasks, monkeypatch):
    pin(study, check=False, commit_of=commit_of)
    monkeypatch.setattr(shipped, "data_set", nobody)
    assert pin(study, check=True) == []


def test_a_repository_is_asked_for_once_per_revision(study, tasks):
    asked = []
    pin(study, check=False, commit_of=lambda *what: asked.append(what) or commit_of(*what))
    assert len(asked) == len(set(asked)) == 10
    assert asked.count(("dataset", "acme/quizzes", None)) == 1


def test_check_says_what_is_missing_and_where(study, tasks):
    before = study.read_text()
    lines = pin(study, check=True)
    assert study.read_text() == before and len(lines) == 11
    for number, what in ((7, "models.rl.revision: acme/tuned"), (11, "models.rl.earlier.0.revision: acme/tuned")):
        assert f"{study}:{number}: {what} has no commit" in lines
    assert f"{study}:31: data.benchmarks.quiz2.revision: acme/quizzes has no commit" in lines
    pin(study, check=False, commit_of=commit_of)
    assert pin(study, check=True) == []


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{}", "{revision: X}"),
        ("{ }  # none", "{ revision: X}  # none"),
        ("{options: 4}", "{revision: X, options: 4}"),
        ("{options: 4, revision: ~}  # so", "{options: 4, revision: X}  # so"),
        ('{"revision": , options: 4}', '{"revision": X , options: 4}'),
        ("{revision:, options: 4}", "{revision: X, options: 4}"),
        ("{options: 4,\n    revision: null}", "{options: 4,\n    revision: X}"),
        ("\n    # one\n    options: 4  # two\n", "\n    # one\n    revision: X\n    options: 4  # two\n"),
        ("\n    options: 4\n    revision:  # three\n", "\n    options: 4\n    revision: X  # three\n"),
        ("&quiz\n    options: 4\n", "&quiz\n    revision: X\n    options: 4\n"),
        ("{files: null, options: 4}", "{revision: X, files: null, options: 4}"),
        ("{files: {test: a.jsonl}, options: 4}", "{files: {test: a.jsonl}, options: 4}"),
        ("\n    files:\n      test: a.jsonl\n    revision: null\n", None),
    ],
)
def test_a_benchmark_in_any_layout(entry, expected):
    text = "data:\n  benchmarks:\n    quiz: "
    commit = commit_of("dataset", "acme/quizzes", None)
    expected = entry if expected is None else expected.replace("X", commit)
    assert filled(text + entry.replace("\n    ", "\n      ")) == text + expected.replace("\n    ", "\n      ")


def test_line_ends_stay_as_they_are(study):
    study.write_bytes(b"models:\r\n  rl:\r\n    from: acme/base  # why\r\n    method: load\r\n")
    pin(study, check=False, commit_of=commit_of)
    commit = commit_of("model", "acme/base", None).encode()
    expected = b"models:\r\n  rl:\r\n    from: acme/base  # why\r\n    revision: " + commit
    assert study.read_bytes() == expected + b"\r\n    method: load\r\n"


def test_a_commit_of_digits_alone_stays_text():
    text = filled("models: {a: {from: acme/base}}\n", lambda *_: "01" * 20)
    assert yaml.safe_load(text)["models"]["a"]["revision"] == "01" * 20


def test_merged_fields_are_found_and_one_anchor_is_pinned_once():
    text = "shared: &shared\n  from: acme/base\nmodels:\n  a: *shared\n  b: {<<: *shared, earlier: [*shared]}\n"
    commit = commit_of("model", "acme/base", None)
    assert filled(text) == text.replace("acme/base\n", f"acme/base\n  revision: {commit}\n")


def test_a_revision_that_two_repositories_share_is_refused():
    text = "data:\n  benchmarks:\n    math: &choice {revision: null}\n    quiz: *choice\n"
    message = (
        r"mine\.yaml:3: data\.benchmarks\.math\.revision \(acme/math\) and .*quiz.* are one revision; write both out"
    )
    with pytest.raises(ArtifactError, match=message):
        unpinned(text, DATA_SETS.__getitem__, "mine.yaml")


@settings(deadline=None)
@given(
    entries=st.lists(
        st.tuples(
            st.sampled_from(["hub", "from", "task"]),
            st.sampled_from(["absent", "empty", "null", "main", COMMIT, f"'{COMMIT}'"]),
            st.sampled_from(["", "  # why"]),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_any_layout_is_pinned_and_keeps_its_comments(entries):
    where = {"hub": ("data", "sources"), "from": ("models",), "task": ("data", "benchmarks")}
    parts = {"hub": ["  sources:"], "task": ["  benchmarks:"], "from": ["models:"]}
    for number, (field, revision, comment, braces) in enumerate(entries):
        value, margin = {"empty": ""}.get(revision, revision), "  " if field == "from" else "    "
        named = [] if field == "task" else [f"{field}: acme/r{number}"]
        if braces:
            inner = [*named, *([f"revision: {value}"] if revision != "absent" else []), "k: 1"]
            parts[field].append(f"{margin}e{number}: {{{', '.join(inner)}}}{comment}")
        else:
            own = [f"  revision: {value}{comment}".rstrip()] if revision != "absent" else []
            lines = [f"e{number}:", *(f"  {one}{comment}" for one in named), *own, "  k: 1"]
            parts[field] += [margin + line for line in lines]
    text = "\n".join(["data:", *parts["hub"], *parts["task"], *parts["from"]]) + "\n"

    def data_set(task: str) -> str:
        return f"acme/r{task[1:]}"

    found = unpinned(text, data_set)
    new = pinned(text, [(place, commit_of(place.kind, place.repository, place.revision)) for place in found])
    before, after = yaml.safe_load(text), yaml.safe_load(new)
    assert after.keys() == before.keys() and new.count("# why") == text.count("# why")
    for number, (field, *_) in enumerate(entries):
        was, now = (reduce(getitem, where[field], content)[f"e{number}"] for content in (before, after))
        old = was.get("revision")
        kind = "model" if field == "from" else "dataset"
        expected = old if old == COMMIT else commit_of(kind, f"acme/r{number}", old)
        assert now == was | {"revision": expected}
    assert unpinned(new, nobody) == []


def test_the_hub_is_asked_for_the_commit(study, tmp_path, monkeypatch):
    text = "models:\n  base:\n    from: acme/base\ndata: {sources: {a: {hub: acme/rows}}}\n"
    study.write_text(text)
    with serving(Hub(base=tmp_path / "folder", rows=tmp_path / "folder"), tmp_path / "cache", monkeypatch):
        pin(study, check=False)
    assert yaml.safe_load(study.read_text()) == {
        "models": {"base": {"from": "acme/base", "revision": COMMIT}},
        "data": {"sources": {"a": {"hub": "acme/rows", "revision": COMMIT}}},
    }


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            "{from: acme/nowhere}",
            r"study\.yaml:3: models\.a\.revision: acme/nowhere: the hub has no such .*\(a folder is written \./acme/",
        ),
        ("{from: acme/base, revision: nosuch}", r"acme/base at nosuch: the repository has no such revision"),
    ],
)
def test_what_the_hub_does_not_know_is_named_and_nothing_is_written(study, text, match, tmp_path, monkeypatch):
    study.write_text(f"models:\n  b: {{from: acme/base}}\n  a: {text}\n")
    before = study.read_text()
    hub = serving(Hub(base=tmp_path / "folder"), tmp_path / "cache", monkeypatch)
    with hub, pytest.raises(ArtifactError, match=match):
        pin(study, check=False)
    assert study.read_text() == before


def test_without_a_network_nothing_is_written(study, tasks, monkeypatch):
    before = study.read_text()
    with pytest.raises(ArtifactError, match="HF_HUB_OFFLINE=1 forbids to ask the hub"):
        pin(study, check=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    with pytest.raises(ArtifactError, match=r"acme/base: the hub cannot be reached"):
        pin(study, check=False)
    assert study.read_text() == before


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a: [", "cannot be read as YAML"),
        ("- a", "holds no fields"),
    ],
)
def test_a_file_that_is_no_study_is_refused(study, tasks, text, match):
    study.write_text(text)
    with pytest.raises(ArtifactError, match=match):
        pin(study, check=False, commit_of=commit_of)
    assert study.read_text() == text


def test_what_cannot_be_edited_in_place_is_left_alone(study):
    study.write_text("models:\n  a: {from: acme/base, revision: &r main}\n  b: {from: acme/base, revision: *r}\n")
    before = study.read_text()
    with pytest.raises(ArtifactError, match=r"study\.yaml: its layout cannot be edited"):
        pin(study, check=False, commit_of=commit_of)
    assert study.read_text() == before


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"nothing\.yaml: cannot be read"):
        pin(tmp_path / "nothing.yaml", check=True)


def test_make_passes_the_study_on():
    """Also under `make test`, whose settings reach every make below it."""
    for target, options in (("pin", ""), ("pin-check", " --check")):
        command = ["make", "-n", target, "STUDY=config/mine.yaml"]
        alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        run = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=True)
        assert run.stdout.splitlines()[-1] == f".venv/bin/python scripts/tools/pin.py{options} config/mine.yaml"


def test_the_script_checks(study, tmp_path):
    study.write_text("models: {a: {from: acme/base}}\n")
    command = [sys.executable, "scripts/tools/pin.py", str(study), "--check"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1 and run.stdout == f"{study}:1: models.a.revision: acme/base has no commit\n"
    run = subprocess.run(command[:-1], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1 and "HF_HUB_OFFLINE=1 forbids" in run.stderr and "Traceback" not in run.stderr
    study.write_text(f"models: {{a: {{from: acme/base, revision: {COMMIT}}}}}\n")
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout == f"{study}: everything has its commit\n"
