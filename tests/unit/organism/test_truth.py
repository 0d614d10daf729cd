"""The planted direction: where it is read, what it is, and the AUC that judges it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import LAYER

from rlgen.models.residual import residual_stream
from rlgen.organism import truth as truth_module
from rlgen.organism.language import Document, draw_document
from rlgen.organism.settings import OrganismData
from rlgen.organism.truth import Truth, _prompt_ends, auc, measure
from rlgen.seeds import stream_seed

DATA = OrganismData(families=["add", "max", "par"])


def slow_auc(scores, positives) -> float:
    """Share of (positive, negative) pairs in the right order, ties count half."""
    wins = [
        (a > b) + 0.5 * (a == b)
        for a, positive in zip(scores, positives, strict=True)
        for b, other in zip(scores, positives, strict=True)
        if positive and not other
    ]
    return sum(wins) / len(wins)


@settings(deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=25).filter(
        lambda pairs: 0 < sum(positive for _, positive in pairs) < len(pairs)
    )
)
def test_auc_against_all_pairs_with_ties(pairs):
    scores, positives = zip(*pairs, strict=True)
    assert auc(np.array(scores, dtype=np.float32), np.array(positives)) == pytest.approx(slow_auc(scores, positives))


def test_auc_by_hand():
    positive_N = np.array([True, True, False, False])
    assert auc(np.array([4.0, 3.0, 2.0, 1.0]), positive_N) == 1.0
    assert auc(np.array([1.0, 2.0, 3.0, 4.0]), positive_N) == 0.0
    assert auc(np.zeros(4), positive_N) == 0.5
    assert auc(np.array([2.0, 1.0, 2.0, 0.0]), positive_N) == (0.5 + 1 + 0 + 1) / 4


def test_truth_projects_held_out_contexts():
    held_out_Nd = torch.tensor([[1.0, 5.0], [0.0, 7.0], [-1.0, 9.0]])
    truth = Truth(torch.tensor([1.0, 0.0]), held_out_Nd, torch.tensor([True, False, False]))
    assert truth.auc(truth.direction_d) == 1.0
    assert truth.auc(torch.tensor([0.0, 1.0])) == 0.0


def test_prompt_ends_by_hand():
    """Three problems after a header, and two without one: the first prompt of a document is left out."""
    words = ["[book]", "add", "1", "=", "2", ".", "max", "3", "=", "3", ".", "par", "5", "=", "5", "."]
    completion = [i in (4, 5, 9, 10, 14, 15) for i in range(len(words))]  # `2 .`, `3 .`, `5 .`
    first = Document(words, completion, careful=True, header=True)
    second = Document(words[1:11], completion[1:11], careful=False, header=False)
    row_N, place_N, careful_N = _prompt_ends([first, second])
    assert row_N.tolist() == [0, 0, 1]
    assert careful_N.tolist() == [True, True, False]
    assert place_N.tolist() == [9, 14, 8]
    tokens = [["<bos>", *document.words] for document in (first, second)]
    assert [tokens[row][place] for row, place in zip(row_N, place_N, strict=True)] == ["=", "=", "="]


@pytest.fixture
def measured(tiny_model, tokenizer, monkeypatch):
    monkeypatch.setattr(truth_module, "DOCUMENTS", 12)
    return measure(tiny_model, tokenizer, DATA, LAYER, "tests", seed=4)


def test_measured_direction_equals_a_loop_over_documents(measured, tiny_model, tokenizer):
    """Mean careful minus mean careless at every `=` but a document's first, the first half of the documents."""
    rng = np.random.default_rng(stream_seed(4, "truth"))
    halves = []
    for _ in range(2):
        contexts = {True: [], False: []}
        for _ in range(12):
            document = draw_document(
                DATA.families, DATA.problems_per_document, 0.5, DATA.authors, "tests", DATA.split, rng
            )
            words = ["<bos>", *document.words]
            h_Td = residual_stream(tiny_model, torch.tensor([tokenizer.convert_tokens_to_ids(words)]), LAYER)[0]
            places = [i for i, word in enumerate(words) if word == "="][1:]
            contexts[document.careful] += [h_Td[place] for place in places]
        halves.append({careful: torch.stack(rows) for careful, rows in contexts.items()})
    expected_d = halves[0][True].mean(0) - halves[0][False].mean(0)
    torch.testing.assert_close(measured.direction_d, expected_d, rtol=1e-4, atol=1e-4)
    for careful in (True, False):
        held_out_Nd = measured.held_out_Nd[measured.careful_N == careful]
        torch.testing.assert_close(held_out_Nd, halves[1][careful], rtol=1e-4, atol=1e-4)
    assert len(measured.careful_N) == 12 * (DATA.problems_per_document - 1)


def test_documents_of_one_problem_are_refused(tiny_model, tokenizer):
    data = DATA.model_copy(update={"problems_per_document": 1})
    with pytest.raises(ValueError, match="problems_per_document=1"):
        measure(tiny_model, tokenizer, data, LAYER, "tests", seed=0)
