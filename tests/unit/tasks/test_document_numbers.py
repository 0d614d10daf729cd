"""NaN and infinity in a benchmark's documents: no number, no word, and never an answer."""

import json
from decimal import Decimal
from types import SimpleNamespace

import pytest

from rlgen.files import ArtifactError, all_finite
from rlgen.sources.prompts import documents_text
from rlgen.tasks.shipped import choices_and_answer, read_documents

NAN = float("nan")


@pytest.mark.parametrize("name", ["d.jsonl", "d.json"])
@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_file_of_documents_with_a_number_that_is_none_is_refused(name, word, tmp_path):
    text = f'{{"question": "a", "answer": {word}}}'
    (tmp_path / name).write_text(f"[{text}]" if name == "d.json" else text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=rf"not a file of documents \({word} is no number that JSON has\)"):
        read_documents(tmp_path / name)


def test_documents_are_written_without_them():
    document = {"q": "a", "score": NAN, "more": [1.5, float("inf"), {"x": Decimal("NaN")}]}
    assert json.loads(documents_text([document])) == {"q": "a", "score": None, "more": [1.5, None, {"x": None}]}


@pytest.mark.parametrize("target", [NAN, [NAN], float("inf")])
def test_they_are_no_answer(target):
    config = SimpleNamespace(task="mine", doc_to_choice=None)
    task = SimpleNamespace(OUTPUT_TYPE="generate_until", config=config, doc_to_target=lambda _: target)
    with pytest.raises(ArtifactError, match="benchmark mine: a document without an answer"):
        choices_and_answer(task, {"q": "a"}, "a", False)


def test_finite_values():
    assert all_finite({"a": [1, 2.5, "nan", None, True, {"b": Decimal(1)}]}) and all_finite([])
    assert not any(map(all_finite, (NAN, [[NAN]], {"a": {"b": (float("-inf"),)}}, Decimal("Infinity"))))
