"""`make pin`: every hub source of a study gets its commit, in place; nothing else in the file changes."""

import hashlib
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import yaml
from hub_server import COMMIT, OTHER, Hub, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen import pinning
from rlgen.files import ArtifactError
from rlgen.pinning import pin, pinned, places, task_data_set

ROOT = Path(__file__).parents[2]
STUDY = """\
# A study of models that others trained.
study: mine
models:
  base: {from: acme/base, method: import}  # in braces
  rl:
    from: acme/tuned   # with a comment
    revision: v1.0
    adapter: acme/lora
  own:
    from: {folder}
  steps:
    - from: acme/tuned
      revision:
    - {from: acme/tuned, revision: step20}
    - from: acme/tuned
      revision: "decade0000000000000000000000000000000000"  # done already
sources:
  thoughts:
    hub: acme/thoughts
    revision: null  # see docs
    format: {kind: messages, role: from}
  local: {files: [rows.jsonl]}
tasks:
  in_domain: [math]
  unseen:
    - quiz
    - quiz2
task_revisions: {}
# the end
"""
DATA_SETS = {"math": "acme/math", "quiz": "acme/quizzes", "quiz2": "acme/quizzes"}


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
    monkeypatch.setattr(pinning, "task_data_set", DATA_SETS.__getitem__)


def test_every_source_gets_its_commit_and_nothing_else_changes(study, tasks):
    before, raw = yaml.safe_load(study.read_text()), study.read_text()
    lines = pin(study, check=False, commit_of=commit_of)
    after = yaml.safe_load(study.read_text())
    model = {name: commit_of("model", "acme/tuned", name) for name in ("v1.0", None, "step20")}
    assert after["models"]["base"] == before["models"]["base"] | {"revision": commit_of("model", "acme/base", None)}
    assert after["models"]["rl"] == {
        "from": "acme/tuned",
        "revision": model["v1.0"],
        "adapter": "acme/lora",
        "adapter_revision": commit_of("model", "acme/lora", None),
    }
    assert [step["revision"] for step in after["models"]["steps"]] == [model[None], model["step20"], OTHER]
    thoughts = {"revision": commit_of("dataset", "acme/thoughts", None)}
    assert after["sources"]["thoughts"] == before["sources"]["thoughts"] | thoughts
    quizzes = commit_of("dataset", "acme/quizzes", None)
    assert after["task_revisions"] == {
        "math": commit_of("dataset", "acme/math", None),
        "quiz": quizzes,
        "quiz2": quizzes,
    }
    for same in ("study", "tasks"):
        assert after[same] == before[same]
    assert after["models"]["own"] == before["models"]["own"] and after["sources"]["local"] == before["sources"]["local"]
    text = study.read_text()
    for comment in ("# A study of", "# in braces", "# with a comment", "# done already", "# see docs", "# the end"):
        assert comment in text
    assert f"revision: {model['v1.0']}  # v1.0\n" in text  # the tag stays readable
    changed = [line for line in raw.splitlines() if line not in text.splitlines()]
    assert all("acme/" in line or "revision" in line for line in changed)
    assert f"models.rl.revision: acme/tuned {model['v1.0']}" in lines and len(lines) == 9


def test_pinning_twice_changes_nothing_and_asks_nobody(study, tasks):
    pin(study, check=False, commit_of=commit_of)
    text = study.read_text()

    def nobody(*_):
        raise AssertionError("asked again")

    assert pin(study, check=False, commit_of=nobody) == [] and study.read_text() == text


def test_a_repository_is_asked_for_once_per_revision(study, tasks):
    asked = []
    pin(study, check=False, commit_of=lambda *what: asked.append(what) or commit_of(*what))
    assert len(asked) == len(set(asked)) == 8
    assert asked.count(("dataset", "acme/quizzes", None)) == 1


def test_check_says_what_is_missing_and_where(study, tasks):
    before = study.read_text()
    lines = pin(study, check=True)
    assert study.read_text() == before and len(lines) == 9
    assert f"{study}:7: models.rl.revision: acme/tuned has no commit" in lines
    assert f"{study}:20: sources.thoughts.revision: acme/thoughts has no commit" in lines
    assert any("task_revisions.quiz2" in line for line in lines)
    pin(study, check=False, commit_of=commit_of)
    assert pin(study, check=True) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("task_revisions:\ntasks: {a: [math, quiz]}", {"math", "quiz"}),
        ("tasks: {a: [math, quiz]}\ntask_revisions:", {"math", "quiz"}),
        ("tasks: {a: [math, quiz]}\ntask_revisions: {}  # none yet\n", {"math", "quiz"}),
        ("tasks: {a: [math, quiz]}\ntask_revisions:\n    math: null\n", {"math", "quiz"}),
        ("tasks: {a: [math, quiz]}\ntask_revisions:\n  # old\n  quiz: main\n  gone: main\n", {"math", "quiz", "gone"}),
        ("tasks: {a: [math], b: []}\ntask_revisions: {math: main}\n", {"math"}),
    ],
)
def test_data_sets_of_tasks_are_filled_in(text, expected):
    found = places(text, DATA_SETS.__getitem__)
    after = yaml.safe_load(pinned(text, found, commit_of))
    assert set(after["task_revisions"]) == expected
    for name in {"math", "quiz"} & expected:
        was = (yaml.safe_load(text)["task_revisions"] or {}).get(name)
        assert after["task_revisions"][name] == commit_of("dataset", DATA_SETS[name], was)


def test_a_commit_of_digits_alone_stays_text():
    text = "a: {hub: acme/rows}\n"
    assert yaml.safe_load(pinned(text, places(text, task_data_set), lambda *_: "01" * 20))["a"]["revision"] == "01" * 20


def test_a_study_without_the_field_pins_no_tasks():
    assert places("tasks: {a: [math]}\n", DATA_SETS.__getitem__) == []


@settings(deadline=None)
@given(
    entries=st.lists(
        st.tuples(
            st.sampled_from(["hub", "from"]),
            st.sampled_from(["absent", "empty", "null", "main", COMMIT, f"'{COMMIT}'"]),
            st.sampled_from(["", "  # why"]),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_any_layout_is_pinned_and_keeps_its_comments(entries):
    parts = ["study: x"]
    for number, (field, revision, comment, braces) in enumerate(entries):
        value = {"empty": ""}.get(revision, revision)
        if braces:
            inner = f", revision: {value}" if revision != "absent" else ""
            parts.append(f"e{number}: {{{field}: acme/r{number}{inner}, k: 1}}{comment}")
        else:
            own = [f"  revision: {value}{comment}".rstrip()] if revision != "absent" else []
            parts += [f"e{number}:", f"  {field}: acme/r{number}{comment}", *own, "  k: 1"]
    text = "\n".join(parts) + "\n"
    new = pinned(text, places(text, DATA_SETS.__getitem__), commit_of)
    before, after = yaml.safe_load(text), yaml.safe_load(new)
    assert after.keys() == before.keys() and new.count("# why") == text.count("# why")
    for number, (field, *_) in enumerate(entries):
        was, kind = before[f"e{number}"], "dataset" if field == "hub" else "model"
        old = was.get("revision")
        expected = old if old == COMMIT else commit_of(kind, f"acme/r{number}", old)
        assert after[f"e{number}"] == was | {"revision": expected}
    assert all(place.is_pinned for place in places(new, DATA_SETS.__getitem__))


def test_the_hub_is_asked_for_the_commit(study, tmp_path, monkeypatch):
    text = "models:\n  base:\n    from: acme/base\nsources: {a: {hub: acme/rows}}\n"
    study.write_text(text)
    with serving(Hub(base=tmp_path / "folder", rows=tmp_path / "folder"), tmp_path / "cache", monkeypatch):
        pin(study, check=False)
    expected = {"models": {"base": {"from": "acme/base", "revision": COMMIT}}}
    assert yaml.safe_load(study.read_text()) == expected | {"sources": {"a": {"hub": "acme/rows", "revision": COMMIT}}}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a: {from: acme/nowhere}", r"acme/nowhere: the hub has no such repository"),
        ("a: {from: acme/base, revision: nosuch}", r"acme/base at nosuch: the repository has no such revision"),
    ],
)
def test_what_the_hub_does_not_know_is_named_and_nothing_is_written(study, text, match, tmp_path, monkeypatch):
    study.write_text(f"b: {{from: acme/base}}\n{text}\n")
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
        ("tasks: {a: [math, quiz]}\ntask_revisions: {math: main}\n", "task_revisions: is written in braces"),
    ],
)
def test_a_file_that_is_no_study_is_refused(study, tasks, text, match):
    study.write_text(text)
    with pytest.raises(ArtifactError, match=match):
        pin(study, check=False, commit_of=commit_of)
    assert study.read_text() == text


def test_what_cannot_be_edited_in_place_is_left_alone(study):
    study.write_text("one: &shared\n  from: acme/base\n  revision: &r main\ntwo:\n  from: acme/base\n  revision: *r\n")
    before = study.read_text()
    with pytest.raises(ArtifactError, match=r"study\.yaml: its layout cannot be edited"):
        pin(study, check=False, commit_of=commit_of)
    assert study.read_text() == before


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"nothing\.yaml: cannot be read"):
        pin(tmp_path / "nothing.yaml", check=True)


@pytest.mark.slow
def test_tasks_of_lm_eval_name_their_data_sets():
    assert task_data_set("sciq") == "allenai/sciq"
    assert task_data_set("arc_challenge") == "allenai/ai2_arc"  # inherited from arc_easy
    for name in ("mmlu", "no_such_task"):
        with pytest.raises(ArtifactError, match=rf"tasks: {name}: no task of lm-eval with a data set"):
            task_data_set(name)


def test_the_script_checks(study, tmp_path):
    study.write_text("a: {hub: acme/rows}\n")
    command = [sys.executable, "scripts/pin.py", str(study), "--check"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1 and run.stdout == f"{study}:1: a.revision: acme/rows has no commit\n"
    run = subprocess.run(command[:-1], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1 and "HF_HUB_OFFLINE=1 forbids" in run.stderr and "Traceback" not in run.stderr
    study.write_text(f"a: {{hub: acme/rows, revision: {COMMIT}}}\n")
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout == f"{study}: everything has its commit\n"
