"""Passages: hand-made codes and streams, and a plain loop over a random dictionary's own numbers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from crosscoders import activations, random_crosscoder
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.features.contexts import strongest_apart
from rlgen.site.passages import BANDS, JOINT, PER_BAND, banded, passages, pieces, values_at

T = 6  # tokens of a sequence; the first is no row


def held_out(seed: int, sequences: int = 12, threshold: float | None = 0.5) -> SimpleNamespace:
    """What `passages` reads of held-out rows: every token but the first of a sequence is a row."""
    rows = sequences * (T - 1)
    h_RMd = activations(seed, rows)
    place = torch.arange(rows)
    return SimpleNamespace(
        crosscoder=random_crosscoder(seed, threshold=threshold),
        batches=lambda: iter(h_RMd.split(7)),
        places=lambda: (place // (T - 1), 1 + place % (T - 1)),
        token_ids_NT=torch.arange(sequences * T).view(sequences, T),
        lengths_N=torch.full((sequences,), T),
    )


def decode(ids) -> str:
    return "".join(f"<{i}>" for i in ids)


def test_candidates_of_one_sequence_count_once():
    z_RS = torch.tensor([[1.0], [0.0], [0.0], [0.0], [3.0], [2.0]])
    sequence_R = torch.tensor([0, 0, 1, 1, 2, 2])
    assert list(strongest_apart(z_RS.split(2), sequence_R, 5)) == [(0, 1, 4, 3.0), (0, 2, 0, 1.0)]
    assert list(strongest_apart(z_RS.split(2), sequence_R, 1)) == [(0, 1, 4, 3.0)]


def test_a_band_takes_what_lies_above_its_low_end_up_to_its_high_end():
    z_BS = torch.tensor([[1.0, 0.0], [0.5, 4.0], [0.6, 2.1], [0.0, 2.0]])
    (key_BS,) = banded([z_BS], torch.tensor([1.0, 4.0]), (0.5, 1.0))
    assert (key_BS > 0).tolist() == [[True, False], [False, True], [True, True], [False, False]]
    again_BS = torch.cat([*banded(z_BS.split(1), torch.tensor([1.0, 4.0]), (0.5, 1.0))])
    assert torch.equal(key_BS, again_BS)  # however the rows are cut into batches
    assert len(set(key_BS[key_BS > 0].tolist())) == 3  # one key per row


def test_values_are_looked_up_across_batches():
    z_RS = torch.arange(12.0).view(6, 2)
    found_P = values_at(z_RS.split(4), torch.tensor([5, -1, 0, 4]), torch.tensor([1, 0, 0, 0]))
    assert found_P[[0, 2, 3]].tolist() == [11.0, 0.0, 8.0] and found_P[1].isnan()


def test_pieces_keep_characters_whole_and_spaces_where_they_are():
    assert pieces([1, 2, 3], lambda ids: " ".join("abc"[i - 1] for i in ids)) == ["a", " b", " c"]
    raw = ["é".encode()[:1], "é".encode()[1:], b" x", "€".encode()[:2]]
    texts = pieces([0, 1, 2, 3], lambda ids: b"".join(raw[i] for i in ids).decode(errors="replace"))
    assert texts == ["é", "", " x", "�"]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=6))
def test_pieces_of_bytes_are_the_text(text):
    ids = list(text.encode("utf-8", errors="ignore"))
    texts = pieces(ids, lambda some: bytes(some).decode(errors="replace"))
    assert len(texts) == len(ids) and "".join(texts) == bytes(ids).decode()


def test_passages_hold_what_the_codes_say():
    data = held_out(0)
    table = passages(data, decode, contexts=3, context_tokens=4)
    h_RMd = torch.cat(list(data.batches()))
    codes = {member: data.crosscoder.encode_one(h_RMd[:, m], m) for m, member in enumerate(data.crosscoder.members)}
    codes[JOINT] = data.crosscoder.encode(h_RMd)
    sequence_R, position_R = data.places()
    row_of = {(int(n), int(t)): r for r, (n, t) in enumerate(zip(sequence_R, position_R, strict=True))}
    assert set(table["code"]) == set(codes) and (table[table["band"] == "top"]["code"] != JOINT).all()
    for p in table.itertuples():
        first, last = max(0, p.position + 1 - 4), min(T, p.position + 3)
        z_R = codes[p.code][:, p.latent]
        wanted = [float(z_R[row_of[p.sequence, t]]) if t else np.nan for t in range(first, last)]
        np.testing.assert_allclose(p.values, wanted, rtol=1e-6)
        assert p.tokens == [f"<{T * p.sequence + t}>" for t in range(first, last)]
        assert p.values[p.peak] == p.activation > 0 and first + p.peak == p.position
        if p.code == JOINT:
            low, high = BANDS[p.band]
            assert low * float(z_R.max()) < p.activation <= high * float(z_R.max())


def test_the_strongest_come_first_and_no_sequence_twice():
    data = held_out(1)
    table = passages(data, decode, contexts=3, context_tokens=2)
    h_RMd = torch.cat(list(data.batches()))
    for (latent, code, band), rows in table.groupby(["latent", "code", "band"]):
        assert rows["sequence"].is_unique and list(rows["rank"]) == list(range(1, len(rows) + 1))
        if band != "top":
            assert len(rows) <= PER_BAND
            continue
        z_R = data.crosscoder.encode_one(
            h_RMd[:, data.crosscoder.members.index(code)], data.crosscoder.members.index(code)
        )
        best = z_R[:, latent].view(-1, T - 1).max(1).values.sort(descending=True).values  # of each sequence
        assert rows["activation"].tolist() == pytest.approx([float(b) for b in best[:3] if b > 0])


def test_latents_that_never_fire_have_no_passages():
    assert passages(held_out(2, threshold=1e9), decode, 3, 4).empty
