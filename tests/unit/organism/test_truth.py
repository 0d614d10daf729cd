"""The planted direction: the same problem and text under both headers, and nothing else."""

import numpy as np
import pytest
import torch
from tiny_runs import LAYER

from rlgen.models.residual import residual_stream
from rlgen.organism import truth as truth_module
from rlgen.organism.families import FAMILIES
from rlgen.organism.language import Problem
from rlgen.organism.settings import OrganismData
from rlgen.organism.truth import draw_pairs, measure, pair_direction
from rlgen.seeds import stream_seed

DATA = OrganismData(families=["add", "max", "par"])


def test_direction_of_two_pairs_by_hand(monkeypatch):
    """A stream whose value at a position is known: the mean is over completion positions, then over pairs."""
    # Tokens: <bos> header prompt(2) text. Position 3 is the prompt's last token; a text of n words has n positions.
    pairs = [("p =", "a ."), ("p =", "a b c .")]
    careful_BTd, careless_BTd = torch.full((2, 8, 1), 100.0), torch.zeros(2, 8, 1)
    careful_BTd[0, 3:5, 0] = torch.tensor([1.0, 3.0])
    careful_BTd[1, 3:7, 0] = torch.tensor([2.0, 4.0, 6.0, 8.0])
    careless_BTd[1, 3:7, 0] = 1.0
    seen = []

    def read(_model, _tokenizer, texts, _layer):
        seen.append(texts)
        return careful_BTd if texts[0][0] == "[book]" else careless_BTd

    monkeypatch.setattr(truth_module, "_read", read)
    assert pair_direction(None, None, pairs, 0).tolist() == [pytest.approx((2 + (5 - 1)) / 2)]
    assert seen == [
        [[header, "p", "=", "a", "."], [header, "p", "=", "a", "b", "c", "."]] for header in ("[book]", "[chat]")
    ]


def test_direction_equals_a_loop_over_single_texts(tiny_model, tokenizer):
    pairs = draw_pairs(DATA, 6, "tests", np.random.default_rng(0))
    means = []
    for prompt, text in pairs:
        h_Td = {}
        for header in ("[book]", "[chat]"):
            words = ["<bos>", header, *prompt.split(), *text.split()]
            h_Td[header] = residual_stream(tiny_model, torch.tensor([tokenizer.convert_tokens_to_ids(words)]), LAYER)[0]
        first = words.index("=")  # from the prompt's last token to the one before the end of sequence
        means.append((h_Td["[book]"] - h_Td["[chat]"])[first : len(words) - 1].mean(0))
    direction_d = pair_direction(tiny_model, tokenizer, pairs, LAYER)
    torch.testing.assert_close(direction_d, torch.stack(means).mean(0), rtol=1e-4, atol=1e-4)


def test_the_sign_points_from_careless_to_careful(tiny_model, tokenizer, monkeypatch):
    """Swapping the headers turns the direction round."""
    pairs = draw_pairs(DATA, 4, "tests", np.random.default_rng(0))
    direction_d = pair_direction(tiny_model, tokenizer, pairs, LAYER)
    monkeypatch.setattr(truth_module, "HEADERS", {True: "[chat]", False: "[book]"})
    torch.testing.assert_close(pair_direction(tiny_model, tokenizer, pairs, LAYER), -direction_d)


def test_pairs_are_pretraining_prompts_of_all_families_by_both_authors():
    pairs = draw_pairs(DATA, 200, "tests", np.random.default_rng(1))
    assert {prompt.split()[0] for prompt, _ in pairs} == set(DATA.families)
    direct = [text.startswith(";") for _, text in pairs]
    assert not any(direct[::2]) and 20 < sum(direct[1::2]) < 60  # careless authors answer 40 % at once
    for prompt, _ in pairs:
        name, init, _, *items, _ = prompt.split()
        assert Problem(FAMILIES[name], init, tuple(items)).split("tests", DATA.split) == "pretraining"


def test_the_measured_direction_is_that_of_its_own_pairs(tiny_model, tokenizer, monkeypatch):
    monkeypatch.setattr(truth_module, "PAIRS", 8)
    pairs = draw_pairs(DATA, 8, "tests", np.random.default_rng(stream_seed(4, "truth")))
    measured_d = measure(tiny_model, tokenizer, DATA, LAYER, "tests", seed=4)
    torch.testing.assert_close(measured_d, pair_direction(tiny_model, tokenizer, pairs, LAYER))
