"""Texts of mixed length in forward passes: each once, memory bounded, little padding."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlgen.models import residual
from rlgen.models.passes import LEAST, PADDING, Padding, passes, tokens_per_pass

lengths_st = st.lists(st.integers(1, 300), max_size=60)


@given(lengths=lengths_st, tokens=st.integers(1, 3000), most=st.none() | st.integers(1, 9))
def test_every_text_is_read_once_in_bounded_passes_of_little_padding(lengths, tokens, most):
    found = [*passes(lengths, tokens, most)]
    assert sorted(place for some in found for place in some) == list(range(len(lengths)))
    for some in found:
        own = [lengths[place] for place in some]
        read = len(own) * max(own)
        assert own == sorted(own, reverse=True)
        assert len(own) == 1 or (read <= tokens and (most is None or len(own) <= most))
        assert read <= LEAST or read - sum(own) <= PADDING * read


@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_results_in_order_of_the_passes_go_back_to_their_texts(lengths):
    order = [place for some in passes(lengths, 512) for place in some]
    assert sorted(order, key=lambda place: -lengths[place]) == order  # and equal lengths in the order of the texts
    back = dict(zip(order, [lengths[place] for place in order], strict=True))
    assert [back[place] for place in range(len(lengths))] == lengths


@given(
    seed=st.integers(0, 2**31), texts=st.integers(200, 2000), mean=st.integers(20, 200), longest=st.integers(100, 400)
)
def test_many_texts_have_less_than_a_tenth_of_padding(seed, texts, mean, longest):
    """Of lengths as those of real texts: most short, few long."""
    lengths = np.random.default_rng(seed).exponential(mean, texts).astype(int).clip(2, longest).tolist()
    padding = Padding("texts")
    for some in passes(lengths, 2048):
        padding.see([lengths[place] for place in some])
    assert padding.real == sum(lengths) and 0 <= padding.share < 0.1


def test_passes_by_hand():
    """41 39 40 share a pass of 3 x 41 = 123 tokens; with 3 it would be 164. A pass of 2 x 40 holds 40 and 39, not 3."""
    assert [*passes([3, 40, 41, 3, 39], 2048)] == [[2, 1, 4], [0, 3]]
    assert [*passes([3, 40, 41, 3, 39], 100)] == [[2, 1], [4, 0], [3]]
    assert [*passes([3, 3, 3], 2048, most=2)] == [[0, 1], [2]]
    assert [*passes([], 2048)] == []


def test_passes_on_a_processor_are_small():
    assert (
        tokens_per_pass(torch.device("cpu")) == 2048 < tokens_per_pass(torch.device("cuda")) == residual.TOKENS_PER_PASS
    )


def test_the_share_of_padding_is_told(capsys):
    padding = Padding("answers")
    padding.tell()
    assert padding.share == 0 and capsys.readouterr().err == ""
    padding.see([4, 2])
    padding.see([5], width=10)
    assert padding.note() == "; 38.9% padding"
    padding.tell()
    assert capsys.readouterr().err == "answers: 38.9% of 18 tokens read were padding\n"
