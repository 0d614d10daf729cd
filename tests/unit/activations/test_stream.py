"""The token stream: which positions are rows, that sequences stay whole, and that a broken file is refused."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlgen.activations import stream as stream_module
from rlgen.activations.settings import OrganismStream
from rlgen.activations.stream import TokenStream, assemble, drop_high_norms, row_mask
from rlgen.files import ArtifactError, write_tensors
from rlgen.models import residual
from rlgen.models.residual import residual_stream
from rlgen.organism.families import FAMILIES
from rlgen.organism.language import Problem
from rlgen.organism.settings import OrganismData, Split
from rlgen.organism.stream import BuildStream, build, document_sequences, sampled_sequences, training_prompts

DATA = OrganismData(families=["add", "max", "par"])
STREAM = OrganismStream(sampled_models=["base"], prompts_per_task=2, rows=40, shard_rows=20, layer=1)
CFG = BuildStream(salt="tests", seed=0, threads=1, data=DATA, tasks=["add", "max"], max_new_tokens=5, stream=STREAM)

NO_MODEL = SimpleNamespace(device=torch.device("cpu"))

sequences_st = st.lists(
    st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=8).map(
        lambda pairs: tuple(map(list, zip(*pairs, strict=True)))
    ),
    min_size=1,
    max_size=6,
)


def stream_of(*sequences) -> TokenStream:
    """A stream of (ids, rows) in the given order, padded with 0."""
    longest = max(len(ids) for ids, _ in sequences)
    ids_NT = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in sequences], dtype=torch.int32)
    mask_NT = torch.tensor([kept + [False] * (longest - len(kept)) for _, kept in sequences])
    return TokenStream(ids_NT, torch.tensor([len(ids) for ids, _ in sequences], dtype=torch.int32), mask_NT)


def rows_by_reading(words: list[str]) -> list[bool]:
    """Slow and by the words alone: rows run from every `=` to before the next end of sequence."""
    rows, inside = [], False
    for word in words:
        inside = word == "=" or (inside and word != ".")
        rows.append(inside)
    return rows


def test_rows_of_a_hand_made_sequence():
    """<bos> max 3 = 3 ; 3 . par = 1 .  (True in `completion`: 3 ; 3 . and 1 .)"""
    completion = [bool(c) for c in (0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1)]
    assert row_mask(completion, "completions") == [bool(c) for c in (0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0)]
    assert row_mask(completion, "all") == [False] + [True] * 11


def test_rows_of_documents_run_from_prompt_end_to_before_the_end_of_sequence(tokenizer):
    sequences = document_sequences(tokenizer, DATA, STREAM, "tests", 100, np.random.default_rng(0))
    for ids, kept in sequences:
        words = tokenizer.convert_ids_to_tokens(ids)
        assert words[0] == "<bos>" and words.count("=") == DATA.problems_per_document
        assert kept == rows_by_reading(words)
    assert 100 <= sum(sum(kept) for _, kept in sequences) < 100 + max(sum(kept) for _, kept in sequences)


def test_rows_from_all_are_every_token_but_the_first(tokenizer):
    settings = STREAM.model_copy(update={"rows_from": "all"})
    for _, kept in document_sequences(tokenizer, DATA, settings, "tests", 100, np.random.default_rng(0)):
        assert kept == [False] + [True] * (len(kept) - 1)


def test_rows_of_sampled_completions(tiny_model, tokenizer):
    prompts = ["max 3 | 1 2 =", "add 8 | 9 6 5 6 ="]
    sequences = sampled_sequences(tiny_model, tokenizer, prompts, 5, "completions", seed=1)
    again = sampled_sequences(tiny_model, tokenizer, prompts, 5, "completions", seed=1)
    other = sampled_sequences(tiny_model, tokenizer, prompts, 5, "completions", seed=2)
    assert sequences == again != other
    for prompt, (ids, kept) in zip(prompts, sequences, strict=True):
        start = tokenizer(prompt)["input_ids"]
        assert ids[: len(start)] == start and len(start) < len(ids) <= len(start) + 5
        new = len(ids) - len(start)  # as many rows as new tokens: each row predicts one of them
        assert kept == [False] * (len(start) - 1) + [True] * new + [False]


def test_prompts_are_distinct_and_from_the_training_part():
    prompts = training_prompts(["add", "max"], 20, DATA, "tests", seed=0)
    assert len(set(prompts)) == 40 and [p.split()[0] for p in prompts] == ["add"] * 20 + ["max"] * 20
    for prompt in prompts:
        name, init, _, *items, _ = prompt.split()
        assert Problem(FAMILIES[name], init, tuple(items)).split("tests", Split()) == "training"


@settings(deadline=None)
@given(sequences=sequences_st, seed=st.integers(0, 2**31))
def test_assemble_shuffles_sequences_and_keeps_each_whole(sequences, seed):
    stream = assemble(sequences, 0, np.random.default_rng(seed))
    found = []
    for ids_T, length, mask_T in zip(stream.token_ids_NT, stream.lengths_N.tolist(), stream.row_mask_NT, strict=True):
        found.append((ids_T[:length].tolist(), mask_T[:length].tolist()))
        assert not ids_T[length:].any() and not mask_T[length:].any()
    order = np.random.default_rng(seed).permutation(len(sequences))
    assert found == [(list(sequences[i][0]), list(sequences[i][1])) for i in order]
    assert stream.rows == sum(sum(kept) for _, kept in sequences)


@pytest.mark.parametrize("mixed_lengths", [False, True])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequences=sequences_st, size=st.integers(1, 7))
def test_passes_cover_the_stream_without_needless_columns(monkeypatch, mixed_lengths, sequences, size):
    monkeypatch.setattr(stream_module, "SEQUENCES_PER_BATCH", size)
    stream, seen = replace(stream_of(*sequences), mixed_lengths=mixed_lengths), []
    for sequences_B, ids_BT in stream.passes(torch.device("cpu")):
        assert mixed_lengths or 1 <= len(sequences_B) <= size
        assert ids_BT.shape[1] == int(stream.lengths_N[sequences_B].max())
        assert torch.equal(ids_BT, stream.token_ids_NT[sequences_B, : ids_BT.shape[1]].long())
        seen += sequences_B.tolist()
    assert sorted(seen) == list(range(len(sequences)))
    chosen_K = torch.arange(0, len(sequences), 2)
    found = [n for sequences_B, _ in stream.passes(torch.device("cpu"), chosen_K) for n in sequences_B.tolist()]
    assert sorted(found) == chosen_K.tolist()


def test_a_file_says_whether_lengths_are_mixed(tmp_path):
    for mixed_lengths in (False, True):
        replace(stream_of(([1, 2], [False, True])), mixed_lengths=mixed_lengths).save(tmp_path / "stream", {})
        assert TokenStream.load(tmp_path / "stream").mixed_lengths == mixed_lengths


@settings(deadline=None)
@given(sequences=sequences_st, data=st.data())
def test_digest_changes_with_any_token_any_row_and_any_length(sequences, data):
    stream = stream_of(*sequences)
    assert stream.digest() == stream_of(*sequences).digest()
    n = data.draw(st.integers(0, len(sequences) - 1))
    t = data.draw(st.integers(0, len(sequences[n][0]) - 1))
    for field in ("token_ids_NT", "row_mask_NT", "lengths_N"):
        parts = {name: getattr(stream, name).clone() for name in ("token_ids_NT", "lengths_N", "row_mask_NT")}
        place = n if field == "lengths_N" else (n, t)
        parts[field][place] = ~parts[field][place] if field == "row_mask_NT" else parts[field][place] + 1
        assert TokenStream(**parts).digest() != stream.digest()


def test_norm_filter_by_hand(monkeypatch):
    """A position's norm is its token id: rows 1 2 3 30, median (lower) 2, so the limit of 10 medians is 20.

    What is no row (90, 80, 70) neither counts nor becomes one.
    """
    monkeypatch.setattr(stream_module, "residual_stream", lambda _model, ids_BT, _layer: ids_BT[..., None].float())
    stream = stream_of(([90, 80, 1, 2], [False, False, True, True]), ([70, 3, 30], [False, True, True]))
    kept = drop_high_norms(stream, NO_MODEL, 1, 10.0)
    assert kept.row_mask_NT.tolist() == [[False, False, True, True], [False, True, False, False]]
    assert torch.equal(kept.token_ids_NT, stream.token_ids_NT) and kept.digest() != stream.digest()


def test_norm_filter_reads_the_model(tiny_model):
    ids = [[1, 8, 9, 10, 5, 11], [1, 9, 8, 5], [1, 12, 5]]
    stream = stream_of(*((row, [False] + [True] * (len(row) - 1)) for row in ids))
    norms = [residual_stream(tiny_model, torch.tensor([row]), 1)[0, 1:].norm(dim=-1) for row in ids]
    limit = 1.1 * torch.cat(norms).median()
    expected = [[False, *(norm_T <= limit).tolist()] for norm_T in norms]
    kept = drop_high_norms(stream, tiny_model, 1, 1.1)
    assert [row[: len(e)] for row, e in zip(kept.row_mask_NT.tolist(), expected, strict=True)] == expected
    assert 0 < kept.rows < stream.rows
    assert drop_high_norms(stream, tiny_model, 1, 1e6).rows == stream.rows


@pytest.mark.parametrize(("most", "sizes"), [(65536, [7]), (18, [3, 3, 1]), (5, [1] * 7)])
def test_norms_are_read_in_passes_of_bounded_tokens(monkeypatch, most, sizes):
    """Seven sequences, the longest of 6 tokens."""
    seen = []

    def model(_model, ids_BT, _layer):
        seen.append(len(ids_BT))
        return ids_BT[..., None].float()

    monkeypatch.setattr(residual, "TOKENS_PER_PASS", most)
    monkeypatch.setattr(stream_module, "residual_stream", model)
    stream = stream_of(*(([10] * (1 + n % 6), [True] * (1 + n % 6)) for n in range(7)))
    assert drop_high_norms(stream, NO_MODEL, 1, 2.0).rows == stream.rows and seen == sizes


def test_norms_of_a_bfloat16_model_are_float32(monkeypatch):
    """The last row is 3.002 times the median long: in bfloat16 it would be 3 exactly, and stay."""
    widths = {1: [1.0, 0.0], 2: [3.0, 0.109375]}  # norms 1 and 3.00199
    found = {ids: torch.tensor(h).bfloat16() for ids, h in widths.items()}
    assert found[2].norm() == 3
    monkeypatch.setattr(
        stream_module,
        "residual_stream",
        lambda _model, ids_BT, _layer: torch.stack([torch.stack([found[int(i)] for i in row]) for row in ids_BT]),
    )
    assert drop_high_norms(stream_of(([1, 1, 2], [True] * 3)), NO_MODEL, 1, 3.001).row_mask_NT.tolist() == [
        [True, True, False]
    ]


def test_build_is_reproducible_and_long_enough(tiny_model, tokenizer):
    stream = build([tiny_model, tiny_model], tokenizer, CFG)
    assert stream.digest() == build([tiny_model, tiny_model], tokenizer, CFG).digest()
    assert stream.digest() != build([tiny_model, tiny_model], tokenizer, CFG.model_copy(update={"seed": 1})).digest()
    assert stream.rows >= 1.1 * STREAM.rows
    prompts = [f"<bos> {prompt} " for prompt in training_prompts(["add", "max"], 2, DATA, "tests", seed=0)]
    texts = [" ".join(tokenizer.convert_ids_to_tokens(ids_T)) for ids_T in stream.token_ids_NT]
    for prompt in prompts:  # every model answers every prompt once; documents show other prompts
        assert sum(text.startswith(prompt) for text in texts) == 2


def test_build_without_sampled_prompts_holds_documents_only(tiny_model, tokenizer):
    cfg = CFG.model_copy(update={"stream": STREAM.model_copy(update={"prompts_per_task": 0})})
    stream = build([tiny_model], tokenizer, cfg)
    assert ((stream.token_ids_NT == tokenizer.vocab["="]).sum(1) == DATA.problems_per_document).all()


@pytest.fixture
def saved(tmp_path) -> tuple[Path, TokenStream]:
    stream = stream_of(([1, 2, 3], [False, True, True]), ([4, 5], [True, False]))
    stream.save(tmp_path / "stream.safetensors", {"rows": str(stream.rows)})
    return tmp_path / "stream.safetensors", stream


def test_a_saved_stream_comes_back(saved):
    path, stream = saved
    loaded = TokenStream.load(path)
    for name in ("token_ids_NT", "lengths_N", "row_mask_NT"):
        assert torch.equal(getattr(loaded, name), getattr(stream, name))
        assert getattr(loaded, name).dtype == getattr(stream, name).dtype


@pytest.mark.parametrize("damage", ["altered", "cut", "empty", "foreign", "missing"])
def test_a_damaged_stream_is_refused_by_name(saved, damage):
    path, _ = saved
    data = path.read_bytes()
    if damage == "altered":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "foreign":
        write_tensors(path, {"activations": torch.zeros(2)}, {})
    elif damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data[:-4] if damage == "cut" else b"")
    with pytest.raises(ArtifactError, match=r"stream\.safetensors"):
        TokenStream.load(path)
