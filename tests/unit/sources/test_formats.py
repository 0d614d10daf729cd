"""Formats of published rows, which are config and not code, and what a source may say."""

import pytest
from hub_server import COMMIT
from pydantic import ValidationError
from source_files import PLAIN

from rlgen.files import ArtifactError
from rlgen.sources.formats import UnusableRow, row_format
from rlgen.sources.settings import MessagesFormat, ProblemFormat, ProblemSource, TextFormat


def convert(format: ProblemFormat | MessagesFormat | TextFormat, row: dict) -> dict:
    return row_format(format).convert(row)


def test_the_last_match_is_the_answer():
    format = ProblemFormat(prompt="{{ q }}", answer="{{ a }}", answer_pattern=r"\\boxed\{([^}]*)\}")
    assert convert(format, {"q": "?", "a": r"first \boxed{1}, then \boxed{ 2 }."})["answer"] == "2"
    with pytest.raises(UnusableRow, match="answer_pattern not found"):
        convert(format, {"q": "?", "a": "2"})


def test_a_column_whose_name_is_no_identifier():
    format = ProblemFormat(prompt="{{ row['Problem (en)'] }}", answer="{{ Answer }}")
    assert convert(format, {"Problem (en)": "1+1", "Answer": 2}) == {"prompt": "1+1", "answer": "2"}


@pytest.mark.parametrize("empty", ["", "  \n", None])
@pytest.mark.parametrize("field", ["prompt", "answer", "completion"])
def test_what_is_empty_is_refused(field, empty):
    format = ProblemFormat(prompt="{{ p }}", answer="{{ a }}", completion="{{ c }}")
    row = {"p": "p", "a": "a", "c": "c"}
    assert convert(format, row) == {"prompt": "p", "answer": "a", "completion": "c"}
    with pytest.raises(UnusableRow, match=f"empty {field}"):
        convert(format, row | {field[0]: empty})


@pytest.mark.parametrize("answer", [0, False, 0.5])
def test_a_falsy_answer_is_an_answer(answer):
    assert convert(ProblemFormat(**PLAIN), {"q": "?", "a": answer})["answer"] == str(answer)


@pytest.mark.parametrize(
    "template",
    ["{{ q.__class__.__mro__ }}", "{{ q | attr('__class__') }}", "{{ q.items[3] }}", "{{ 'ABCD'[q] }}", "{{ 1 / q }}"],
)
def test_a_template_that_fails_or_reaches_out_is_counted_not_run(template):
    with pytest.raises(UnusableRow, match=r"format\.prompt fails"):
        convert(ProblemFormat(prompt=template, answer="{{ q }}"), {"q": "x"})


def test_a_template_cannot_change_a_row():
    row = {"q": ["x"], "a": 1}
    with pytest.raises(UnusableRow):
        convert(ProblemFormat(prompt="{{ q.append('y') }}{{ q }}", answer="{{ a }}"), row)
    assert row == {"q": ["x"], "a": 1}


THOUGHTS = MessagesFormat(
    column="conversations", role="from", content="value", system="system", roles={"user": "user", "gpt": "assistant"}
)


def test_messages_with_other_names_and_a_system_column():
    row = {"system": "Think.", "conversations": [{"from": "user", "value": "1+1?"}, {"from": "gpt", "value": "2"}]}
    user, assistant = {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}
    system = {"role": "system", "content": "Think."}
    assert convert(THOUGHTS, row) == {"messages": [system, user, assistant]}
    for absent in ({**row, "system": ""}, {**row, "system": None}):
        assert convert(THOUGHTS, absent) == {"messages": [user, assistant]}


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (None, "conversations holds no list"),
        ([], "conversations holds no list"),
        ("text", "conversations holds no list"),
        (["text"], "a message without 'from' or 'value'"),
        ([{"role": "user", "content": "x"}], "a message without 'from' or 'value'"),
        ([{"from": "tool", "value": "x"}], r"a message by 'tool', expected user, gpt \(format\.roles\)"),
        ([{"from": "user", "value": " "}], "an empty message"),
        ([{"from": "user", "value": None}], "an empty message"),
    ],
)
def test_messages_that_cannot_be_used(messages, reason):
    with pytest.raises(UnusableRow, match=reason):
        convert(THOUGHTS, {"system": "", "conversations": messages})


def test_text():
    assert convert(TextFormat(column="raw"), {"raw": " as it is\n"}) == {"text": " as it is\n"}
    with pytest.raises(UnusableRow, match="empty text"):
        convert(TextFormat(), {"text": "\n"})


def test_formats_that_say_too_little_are_refused():
    for template, match in {
        "question": r"format\.prompt: 'question' reads no column; to take a column write '\{\{ question \}\}'",
        "{{ 1 + 1 }}": "reads no column",
        "{{ range(3) }}": "reads no column",
        "{{ ''.__class__ ~ q }}": r"is no template \(access to attribute '__class__' of 'str' object is unsafe\)",
        "{{ q ": r"is no template \(.+\); expected Jinja2",
    }.items():
        with pytest.raises(ArtifactError, match=match):
            row_format(ProblemFormat(prompt=template, answer="{{ a }}"))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"hub": "acme/problems", "files": []} | {"rows": 0},
        {"hub": "problems"},
        {"files": ["x.jsonl"], "revision": COMMIT},
        {"files": ["x.jsonl"], "split": "test"},
        {"files": ["x.jsonl"], "subset": "main"},
        {"files": ["x.jsonl"], "rows": 0},
        {"hub": "acme/problems", "stream": True, "draw": "random"},
        {"files": ["x.jsonl"], "format": {**PLAIN, "answer_pattern": "####"}},
        {"files": ["x.jsonl"], "format": {**PLAIN, "answer_pattern": "(a)(b)"}},
        {"files": ["x.jsonl"], "format": {**PLAIN, "answer_pattern": "(a"}},
        {"files": ["x.jsonl"], "format": {"kind": "text"}},
    ],
)
def test_sources_are_checked_with_the_config(fields):
    ProblemSource.model_validate({"files": ["x.jsonl"], "format": PLAIN})
    with pytest.raises(ValidationError):
        ProblemSource.model_validate({"format": PLAIN, **fields})
