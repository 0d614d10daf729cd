"""Shards hold the stream's rows, in order, and the rows of two models stay paired."""

import tempfile
from functools import partialmethod
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny_runs import LAYER, relative

from rlgen.harvest import harvest, harvest_to
from rlgen.residual import residual_stream
from rlgen.settings.data import Stream
from rlgen.shards import Shards
from rlgen.stream import TokenStream


@pytest.fixture(scope="module")
def other_model(tiny_model):
    return relative(tiny_model)


def random_stream(seed: int, sequences: int = 7, longest: int = 6, kept: float = 0.6) -> TokenStream:
    """Random tokens and rows, at least one row."""
    generator = torch.Generator().manual_seed(seed)
    length_N = torch.randint(1, longest + 1, (sequences,), generator=generator).int()
    inside_NT = torch.arange(longest) < length_N[:, None]
    ids_NT = torch.randint(1, 20, (sequences, longest), generator=generator).int() * inside_NT
    mask_NT = (torch.rand(sequences, longest, generator=generator) < kept) & inside_NT
    mask_NT[0, 0] = True
    return TokenStream(ids_NT, length_N, mask_NT)


def slow_rows(model, stream: TokenStream) -> list[tuple[torch.Tensor, int, int, int]]:
    """One sequence at a time, without padding: (h_d, token, sequence, position) of every row."""
    rows = []
    for n, length in enumerate(stream.lengths_N.tolist()):
        ids_1T = stream.token_ids_NT[n : n + 1, :length].long()
        h_Td = residual_stream(model, ids_1T, LAYER)[0]
        kept = [t for t in range(length) if stream.row_mask_NT[n, t]]
        rows += [(h_Td[t], int(ids_1T[0, t]), n, t) for t in kept]
    return rows


def harvested(model, stream, rows, shard_rows):
    """The shards as a list of (activations, token ids, sequence, position)."""
    shards = []

    def write(index, *tensors):
        assert index == len(shards)
        shards.append(tensors)

    harvest(model, stream, LAYER, rows, shard_rows, write)
    return shards


def assert_rows(shards, expected):
    h_Nd, token_N, sequence_N, position_N = (torch.cat(column) for column in zip(*shards, strict=True))
    assert list(zip(token_N.tolist(), sequence_N.tolist(), position_N.tolist(), strict=True)) == [
        row[1:] for row in expected
    ]
    torch.testing.assert_close(h_Nd, torch.stack([row[0] for row in expected]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shard_rows", [1, 5, 12])
@pytest.mark.parametrize("batch", [1, 3, 256])
def test_shards_hold_the_first_rows_of_the_stream_whatever_the_batch(tiny_model, monkeypatch, shard_rows, batch):
    monkeypatch.setattr(TokenStream, "batches", partialmethod(TokenStream.batches, batch))
    stream = random_stream(0)
    rows = stream.rows // shard_rows * shard_rows
    shards = harvested(tiny_model, stream, rows, shard_rows)
    assert [len(shard[0]) for shard in shards] == [shard_rows] * (rows // shard_rows)
    assert_rows(shards, slow_rows(tiny_model, stream)[:rows])


@pytest.mark.parametrize("batch", [1, 256])
def test_no_more_than_asked_for_is_written(tiny_model, monkeypatch, batch):
    monkeypatch.setattr(TokenStream, "batches", partialmethod(TokenStream.batches, batch))
    stream = random_stream(1, sequences=20)
    assert stream.rows >= 12
    assert_rows(harvested(tiny_model, stream, 8, 4), slow_rows(tiny_model, stream)[:8])


def test_too_few_rows_are_refused_before_anything_is_written(tiny_model):
    stream = random_stream(0)
    with pytest.raises(ValueError, match=rf"stream.rows=1000: the stream holds {stream.rows} rows"):
        harvest(tiny_model, stream, LAYER, 1000, 10, lambda *_: pytest.fail("wrote a shard"))


WHOLE = TokenStream.batches


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31), shard_rows=st.integers(1, 6), batch=st.integers(1, 8))
def test_rows_of_two_models_stay_paired(tiny_model, other_model, seed, shard_rows, batch):
    """Row i of both is one token of one sequence, and each model's own activation of that token.

    The models are read in batches of different sizes, as machines of different memory would.
    """
    stream = random_stream(seed)
    rows = stream.rows // shard_rows * shard_rows
    assume(rows >= 2 * shard_rows)  # the settings ask for a shard to train on and one held out
    cfg = Stream(sampled_models=[], rows=rows, shard_rows=shard_rows, layer=LAYER)
    members = {"base@1": (tiny_model, batch), "rl@5": (other_model, 256)}
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        for state, (model, size) in members.items():
            patch.setattr(TokenStream, "batches", partialmethod(WHOLE, size))
            harvest_to(Path(root) / state, model, state, stream, cfg)
        shards = Shards.open([Path(root) / state for state in members], list(members))
        read = shards.read(range(shards.n_shards))
    assert (shards.rows, shards.layer, shards.stream) == (rows, LAYER, stream.digest())
    for m, (model, _) in enumerate(members.values()):
        labels = (read.token_ids_N, read.sequence_N, read.position_N)
        assert_rows([(read.activations_NMd[:, m], *labels)], slow_rows(model, stream)[:rows])
