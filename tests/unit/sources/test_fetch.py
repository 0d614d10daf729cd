"""Published data as rows of a study: real formats, which rows are taken, bad input named, nothing half-written."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_files import PLAIN, lines, problems, refused, write_rows

from rlgen.files import ArtifactError, file_digest
from rlgen.sources.fetch import FetchSource, fetch, taken
from rlgen.sources.settings import ProblemSource, TextSource

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT.parent / "shared/data"
GSM8K = {
    "prompt": "{{ question }}",
    "answer": "{{ answer }}",
    "answer_pattern": "#### (.+)",
    "completion": "{{ answer.split('####')[0] }}",
}
AQUA = {
    "prompt": "{{ question }}\n{% for option in options %}\n{{ option }}\n{% endfor %}\nAnswer:",
    "answer": "{{ correct }}",
    "completion": "{{ rationale }}",
}
MMLU = {
    "prompt": "{{ question }}\n{% for c in choices %}\n{{ 'ABCD'[loop.index0] }}. {{ c }}\n{% endfor %}\nAnswer:",
    "answer": "{{ 'ABCD'[answer] }}",
}


def published(name: str) -> Path:
    path = PUBLISHED / name
    if not path.exists():
        pytest.skip(f"REAL FORMATS UNTESTED: {path} is not here")
    return path


@pytest.fixture
def rows(tmp_path) -> Path:
    return write_rows(tmp_path / "rows.jsonl", [{"q": f"What is {i}?", "a": i} for i in range(10)])


# Real data in its real format.


def test_gsm8k(tmp_path):
    source = problems(published("gsm8k_test.jsonl"), GSM8K)
    facts = fetch(source, tmp_path / "out.jsonl", "gsm8k")
    found, raw = lines(tmp_path / "out.jsonl"), lines(published("gsm8k_test.jsonl"))
    assert facts["rows"] == len(found) == len(raw) == 1319 and facts["rows_refused"] == {}
    for row, before in zip(found, raw, strict=True):
        assert row["prompt"] == before["question"]
        assert row["answer"] == before["answer"].rpartition("\n#### ")[2].strip()
        assert before["answer"].startswith(row["completion"]) and "####" not in row["completion"]
    assert found[0]["answer"] == "18" and list(found[0]) == ["prompt", "answer", "completion"]
    assert facts["source"] == {source.files[0]: file_digest(source.files[0])}
    assert facts["sha256"] == file_digest(tmp_path / "out.jsonl")


def test_aqua(tmp_path):
    facts = fetch(problems(published("aqua_test.jsonl"), AQUA), tmp_path / "out.jsonl")
    found, raw = lines(tmp_path / "out.jsonl"), lines(published("aqua_test.jsonl"))
    assert facts["rows"] + facts["duplicates_dropped"] == facts["rows_read"] == len(raw) == 254
    by_prompt = {
        f"{row['question']}\n" + "".join(f"{o}\n" for o in row["options"]) + "Answer:": row for row in raw[::-1]
    }
    assert [row["prompt"] for row in found] == list(by_prompt)[::-1]
    for row in found:
        assert row["answer"] == by_prompt[row["prompt"]]["correct"]
        assert row["completion"] == by_prompt[row["prompt"]]["rationale"]


def test_mmlu(tmp_path):
    facts = fetch(problems(published("mmlu_stem_test.jsonl"), MMLU), tmp_path / "out.jsonl")
    found, raw = lines(tmp_path / "out.jsonl"), lines(published("mmlu_stem_test.jsonl"))
    assert facts["rows"] + facts["duplicates_dropped"] == facts["rows_read"] == len(raw) == 3018
    first = raw[0]
    listed = "".join(f"{letter}. {choice}\n" for letter, choice in zip("ABCD", first["choices"], strict=True))
    assert found[0] == {"prompt": f"{first['question']}\n{listed}Answer:", "answer": "C"}
    letters = {row["prompt"]: row["answer"] for row in found}
    for row in raw:
        listed = "".join(f"{letter}. {choice}\n" for letter, choice in zip("ABCD", row["choices"], strict=True))
        assert letters[f"{row['question']}\n{listed}Answer:"] in "ABCD"
    assert [row["answer"] for row in found[:3]] == ["ABCD"[row["answer"]] for row in raw[:3]]


# Which rows.


def test_first_rows_are_taken_in_order_and_no_more_are_read(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", [{"q": f"q{i}", "a": i} for i in range(5)])
    with open(path, "a") as file:
        file.write("no JSON\n")  # never reached
    facts = fetch(problems(path, rows=4), tmp_path / "out.jsonl")
    assert [row["prompt"] for row in lines(tmp_path / "out.jsonl")] == ["q0", "q1", "q2", "q3"]
    assert (facts["rows"], facts["rows_read"]) == (4, 4)


@settings(deadline=None)
@given(total=st.integers(1, 30), wanted=st.integers(1, 30), seed=st.integers(0, 100))
def test_a_random_draw_is_a_subset_in_order_and_the_same_again(total, wanted, seed):
    found = [{"prompt": str(i)} for i in range(total)]
    source = problems("x.jsonl", rows=wanted, draw="random", draw_seed=seed)
    drawn = list(taken(iter(found), source))
    assert drawn == list(taken(iter(found), source)) == [row for row in found if row in drawn]
    assert len(drawn) == min(total, wanted)


def test_a_random_draw_is_uniform():
    found, counts = [{"prompt": str(i)} for i in range(5)], [0] * 5
    for seed in range(1000):
        for row in taken(iter(found), problems("x.jsonl", rows=2, draw="random", draw_seed=seed)):
            counts[int(row["prompt"])] += 1
    assert all(abs(count - 400) < 5 * (1000 * 0.4 * 0.6) ** 0.5 for count in counts)  # 5 standard deviations


def test_duplicates_are_dropped_and_counted(tmp_path):
    repeated = [{"q": "a", "a": 1}, {"q": "b", "a": 2}, {"q": "a", "a": 1.0}, {"q": "a", "a": 1}]
    facts = fetch(problems(write_rows(tmp_path / "r.jsonl", repeated)), tmp_path / "out.jsonl")
    assert lines(tmp_path / "out.jsonl") == [{"prompt": "a", "answer": "1"}, {"prompt": "b", "answer": "2"}]
    assert (facts["rows"], facts["rows_read"], facts["duplicates_dropped"]) == (2, 4, 2)


def test_repeated_conversations_and_texts_are_dropped_too(tmp_path):
    texts = write_rows(tmp_path / "t.jsonl", [{"text": "a"}, {"text": "b"}, {"text": "a"}])
    facts = fetch(TextSource(files=[str(texts)], format={"kind": "text"}), tmp_path / "out.jsonl")
    assert lines(tmp_path / "out.jsonl") == [{"text": "a"}, {"text": "b"}] and facts["duplicates_dropped"] == 1
    chats = [{"messages": [{"role": "user", "content": c}]} for c in "aba"]
    chats = write_rows(tmp_path / "c.jsonl", chats)
    facts = fetch(TextSource(files=[str(chats)], format={"kind": "messages"}), tmp_path / "out.jsonl")
    assert facts["rows"] == 2 and facts["duplicates_dropped"] == 1


def test_all_kinds_of_files_give_the_same_rows(rows, tmp_path):
    raw = lines(rows)
    (tmp_path / "rows.json").write_text(json.dumps(raw))
    pq.write_table(pa.Table.from_pylist(raw), tmp_path / "rows.parquet")
    texts = []
    for name in ("rows.jsonl", "rows.json", "rows.parquet"):
        fetch(problems(tmp_path / name), tmp_path / "out.jsonl")
        texts.append((tmp_path / "out.jsonl").read_bytes())
    assert texts[0] == texts[1] == texts[2] and texts[0].count(b"\n") == 10


def test_patterns_are_read_by_name_and_no_file_twice(tmp_path):
    for name in ("b", "a", "c"):
        write_rows(tmp_path / f"{name}.jsonl", [{"q": name, "a": 1}])
    source = ProblemSource(files=[str(tmp_path / "c.jsonl"), str(tmp_path / "*.jsonl")], format=PLAIN)
    facts = fetch(source, tmp_path / "out/out.jsonl")
    assert [row["prompt"] for row in lines(tmp_path / "out/out.jsonl")] == ["c", "a", "b"]
    assert facts["duplicates_dropped"] == 0 and len(facts["source"]) == 3


def test_the_script_writes_rows_and_facts(rows, tmp_path):
    cfg = FetchSource(name="mine", source=problems(rows, rows=3)).model_dump_json()
    paths = ["--output", str(tmp_path / "out.jsonl"), "--facts", str(tmp_path / "facts.json")]
    subprocess.run([sys.executable, "scripts/data/fetch_source.py", "--cfg", cfg, *paths], cwd=ROOT, check=True)
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["name"] == "mine" and facts["sha256"] == file_digest(tmp_path / "out.jsonl") and facts["rows"] == 3


def test_a_slice_keeps_its_kind_of_source():
    for source in (problems("x.jsonl"), TextSource(files=["x.jsonl"], format={"kind": "messages"})):
        assert FetchSource.model_validate_json(FetchSource(name="x", source=source).model_dump_json()).source == source


# Bad input: one line, nothing written.


def test_a_wrong_column_is_refused_and_the_right_ones_are_listed(rows, tmp_path):
    out = tmp_path / "out.jsonl"
    wrong = {"prompt": "{{ question }}", "answer": "{{ a }}"}
    refused(problems(rows, wrong), out, r"mine: no column 'question', expected one of a, q")
    refused(
        TextSource(files=[str(rows)], format={"kind": "text"}), out, r"mine: no column 'text', expected one of a, q"
    )
    chats = {"kind": "messages", "column": "q", "system": "s"}
    refused(TextSource(files=[str(rows)], format=chats), out, r"mine: no column 's', expected one of a, q")


def test_empty_answers_are_counted_and_refused_above_the_share(tmp_path):
    out = tmp_path / "out.jsonl"
    some = [{"q": f"q{i}", "a": "" if i in (3, 7) else i} for i in range(10)]
    path = write_rows(tmp_path / "rows.jsonl", some)
    refused(problems(path), out, r"mine: 2 of 10 rows are unusable \(row 4 first: empty answer\).*refused_share=0;")
    refused(problems(path, refused_share=0.19), out, r"2 of 10 rows are unusable")
    facts = fetch(problems(path, refused_share=0.2), out)
    assert (facts["rows"], facts["rows_read"], facts["rows_refused"]) == (8, 10, {"empty answer": 2})


def test_a_source_without_rows_is_refused(tmp_path):
    refused(problems(write_rows(tmp_path / "none.jsonl", [])), tmp_path / "out.jsonl", "mine: no row is left of 0")
    path = write_rows(tmp_path / "bad.jsonl", [{"q": "", "a": 1}])
    refused(problems(path, refused_share=1.0), tmp_path / "out.jsonl", "mine: no row is left of 1")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("r.jsonl", b'{"q": "a", "a": 1}\n\n{"q": \n', r"r\.jsonl: line 3 is not JSON"),
        ("r.jsonl", b'{"q": "a", "a": 1}\n[1]\n', r"r\.jsonl: line 2 is list, expected an object with columns"),
        ("r.jsonl", b'{"q": "\xff", "a": 1}\n', r"r\.jsonl: line 1 is not JSON"),
        ("r.json", b'[{"q": "a", "a": 1}', r"r\.json: not JSON"),
        ("r.json", b'{"q": "a", "a": 1}', r"r\.json: holds dict, expected a list of objects"),
        ("r.json", b'[{"q": "a", "a": 1}, 3]', r"r\.json: entry 2 is int"),
        ("r.parquet", b"PAR1", r"r\.parquet: not a readable Parquet table"),
        ("r.csv", b"q,a\n", r"r\.csv: cannot be read as data, expected a file ending in \.jsonl, \.json, \.parquet"),
        ("r.jsonl", b'{"q": "\\ud800", "a": 1}\n', r"row 1 first: half a character"),
        ("r.jsonl", b'{"q": "a", "a": 1}\n{"q": "b"}\n', r"row 2 first: format\.answer fails \('a' is undefined\)"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(name, content, match, tmp_path):
    (tmp_path / name).write_bytes(content)
    refused(problems(tmp_path / name), tmp_path / "out.jsonl", match)


@pytest.mark.parametrize("pattern", ["nothing.jsonl", "nothing*.jsonl"])
def test_a_missing_file_is_named(pattern, tmp_path):
    refused(problems(tmp_path / pattern), tmp_path / "out.jsonl", re.escape(f"{pattern}: no such file"))


def test_an_old_output_stays_when_a_fetch_fails(rows, tmp_path):
    fetch(problems(rows), tmp_path / "out.jsonl")
    before = (tmp_path / "out.jsonl").read_bytes()
    with open(rows, "a") as file:
        file.write("no JSON\n")
    with pytest.raises(ArtifactError):
        fetch(problems(rows), tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == before


# Numbers that are none, answers that nobody can give, answers that contradict each other.


def table(path: Path, rows: list[dict]) -> Path:
    """A file of rows, of the kind that its name says; Python's JSON writes NaN and Infinity."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        lines = [json.dumps(row) for row in rows]
        text = f"[{', '.join(lines)}]" if path.suffix == ".json" else "\n".join(lines)
        path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["r.jsonl", "r.json", "r.parquet"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_no_words(name, bad, tmp_path):
    path = table(tmp_path / name, [{"q": "a", "a": 1.5}, {"q": "b", "a": bad}, {"q": "c", "a": 2.0}])
    refused(problems(path), tmp_path / "out.jsonl", r"1 of 3 rows are unusable \(row 2 first: NaN or infinity in a\)")
    facts = fetch(problems(path, refused_share=0.5), tmp_path / "out.jsonl")
    assert [row["answer"] for row in lines(tmp_path / "out.jsonl")] == ["1.5", "2.0"]
    assert facts["rows_refused"] == {"NaN or infinity in a": 1}


def test_nan_is_found_inside_of_lists_and_behind_row_but_not_in_columns_that_are_not_read(tmp_path):
    path = table(tmp_path / "r.jsonl", [{"q": "a", "a b": [{"x": [float("nan")]}], "unread": 1}])
    by_row = {"prompt": "{{ q }}", "answer": "{{ row['a b'][0].x[0] }}"}
    refused(problems(path, by_row), tmp_path / "out.jsonl", "NaN or infinity in a b")
    path = table(tmp_path / "r.jsonl", [{"q": "a", "a": 1, "unread": float("nan")}])
    assert fetch(problems(path), tmp_path / "out.jsonl")["rows"] == 1


@pytest.mark.parametrize("gold", [r"\frac{1", "['2', '3']", '["2"]', "{'a': 1}", "NaN", "", ["2", "3"]])
def test_an_answer_that_no_model_could_give_is_refused(gold, tmp_path):
    path = table(tmp_path / "r.jsonl", [{"q": "a", "a": "7"}, {"q": "b", "a": gold}])
    reason = "an answer that would not be accepted as itself" if gold else "empty answer"
    refused(problems(path), tmp_path / "out.jsonl", rf"1 of 2 rows are unusable \(row 2 first: {reason}\)")
    facts = fetch(problems(path, refused_share=0.5), tmp_path / "out.jsonl")
    assert facts["rows_refused"] == {reason: 1} and len(lines(tmp_path / "out.jsonl")) == 1


def test_answers_of_every_kind_are_accepted_as_themselves(tmp_path):
    golds = ["C", "1,234", "$5", r"\frac{1}{2}", "x = 5", "(1, 2]", r"\text{Monday}", "no solution", "1.6e-19", "50%"]
    golds += ["no", "12 cm", r"\{1, 2\}", r"\begin{pmatrix}1\\2\end{pmatrix}", "2\\sqrt{3}", r"x^2+1", "-.5", r"\infty"]
    golds += ["(1, 2)", "[1, 2]", "[]", "it's", '"Yes"', "5'", "('a', b"]
    path = table(tmp_path / "r.jsonl", [{"q": f"q{i}", "a": gold} for i, gold in enumerate(golds)])
    assert fetch(problems(path, refused_share=1.0), tmp_path / "out.jsonl")["rows_refused"] == {}


def test_two_answers_to_one_prompt_are_a_conflict_and_no_duplicate(tmp_path):
    asked = [("a", "1/2"), ("b", "2"), ("a", "0.5"), ("b", "3"), ("b", "2"), ("b", "2.0")]
    path = table(tmp_path / "r.jsonl", [{"q": q, "a": a} for q, a in asked])
    reason = "another answer than an earlier row has for the same prompt"
    refused(problems(path), tmp_path / "out.jsonl", rf"1 of 6 rows are unusable \(row 4 first: {reason}\)")
    facts = fetch(problems(path, refused_share=0.5), tmp_path / "out.jsonl")
    assert lines(tmp_path / "out.jsonl") == [{"prompt": "a", "answer": "1/2"}, {"prompt": "b", "answer": "2"}]
    assert (facts["duplicates_dropped"], facts["rows_refused"]) == (3, {reason: 1})
