"""The token stream over sources: which texts, cut how, how many of each, and that parts share none."""

import re
import tracemalloc
from collections.abc import Iterable
from functools import cache
from itertools import chain, islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from source_files import write_rows
from tiny_models import BEGIN, END, PAD, TEMPLATE, tiny_checkpoint, tiny_tokenizer
from tokenizers.processors import TemplateProcessing

from rlgen.activations.stream import Sequence
from rlgen.files import ArtifactError
from rlgen.models.checkpoints import load_model
from rlgen.models.residual import residual_stream
from rlgen.seeds import stream_seed
from rlgen.sources import stream
from rlgen.sources.stream import BuildMixedStream, build, cut, drawn, line_starts, pad_id, parts_of, rows_of, texts

TEXT = "It takes 2/2=1 bolt of white fiber. "
STREAM = {
    "mix": {"words": 0.25, "numbers": 0.75},
    "layer": 1,
    "rows": 700,
    "shard_rows": 100,
    "held_out_shards": 1,
    "windows": 3,
    "sequence_tokens": 16,
    "max_norm_ratio": 1e6,
}


@cache
def tokenizer_of(begin: bool):
    return tiny_tokenizer(begin=begin)


def settings_of(part: int = 1, seed: int = 0, **stream: object) -> BuildMixedStream:
    return BuildMixedStream(seed=seed, threads=1, part=part, stream=STREAM | stream)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return load_model(tiny_checkpoint(folder, tokenizer=tokenizer_of(True)))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """Conversations of letters and texts of digits; each begins with its own number, as `text 12 ` or `12 `."""
    root = tmp_path_factory.mktemp("sources")
    turns = [[("user", f"text {i} {'ab ' * 3}"), ("assistant", "ba " * (i % 7 + 1))] for i in range(120)]
    messages = [{"messages": [{"role": r, "content": c} for r, c in turn]} for turn in turns]
    numbers = [{"text": f"{i} {'7 8 9 ' * (i % 5 + 1)}"} for i in range(400)]
    return {
        "words": write_rows(root / "words.jsonl", messages),
        "numbers": write_rows(root / "numbers.jsonl", numbers),
    }


def pieces_of(found: Iterable[Sequence]) -> list[list[int]]:
    """Token ids of sequences, after a look at their rows: all tokens but the first."""
    found = list(found)
    for ids_T, rows_T in found:
        assert ids_T.dtype == np.int32 and rows_T.tolist() == [False] + [True] * (len(ids_T) - 1)
    return [ids_T.tolist() for ids_T, _ in found]


# Cutting


@settings(deadline=None)
@given(
    documents=st.lists(st.text("ab \n7é<|>", max_size=30), max_size=5), tokens=st.integers(2, 9), begin=st.booleans()
)
def test_cutting_by_a_plain_loop(documents, tokens, begin):
    tokenizer, expected = tokenizer_of(begin), []
    for document in documents:
        left = tokenizer.encode(document, add_special_tokens=False)
        while left:
            piece = [tokenizer.bos_token_id] if begin else []
            while left and len(piece) < tokens:
                piece.append(left.pop(0))
            if len(piece) > 1:  # one token alone has none before it
                expected.append(piece)
    assert pieces_of(cut(iter(documents), tokenizer, tokens)) == expected


def test_cutting_by_hand():
    """Seven one-byte tokens: with <bos> 1 + 3, 1 + 3, 1 + 1; without it 4 and 3. Of five, 4: the tail is dropped."""
    for begin, text, lengths in ((True, "!#$%&()", [4, 4, 2]), (False, "!#$%&()", [4, 3]), (False, "!#$%&", [4])):
        tokenizer = tokenizer_of(begin)
        assert len(tokenizer.encode(text, add_special_tokens=False)) == len(text)
        pieces = pieces_of(cut(iter([text]), tokenizer, 4))
        assert [len(piece) for piece in pieces] == lengths
        assert all((piece[0] == tokenizer.bos_token_id) is begin for piece in pieces)
        assert tokenizer.decode([*chain(*pieces)], skip_special_tokens=True) == text[: sum(lengths) - 3 * begin]


def test_a_first_token_that_the_template_wrote_is_not_doubled():
    tokenizer = tokenizer_of(True)
    plain, written = (pieces_of(cut(iter([t]), tokenizer, 8)) for t in (TEXT, BEGIN + TEXT))
    assert plain == written and all(piece.count(tokenizer.bos_token_id) == 1 for piece in plain)
    assert pieces_of(cut(iter([BEGIN, ""]), tokenizer, 8)) == []


def test_a_first_token_that_the_tokenizer_names_but_does_not_put_is_left_out():
    """What a model has not seen at the start of a text does not begin one here."""
    tokenizer = tiny_tokenizer(begin=False)
    tokenizer.bos_token = END
    (piece,) = pieces_of(cut(iter(["a b"]), tokenizer, 16))
    assert piece == tokenizer.encode("a b", add_special_tokens=False)


def test_a_token_that_the_tokenizer_puts_last_is_no_first_one():
    tokenizer = tiny_tokenizer(begin=False)
    end = TemplateProcessing(single=f"$A {END}", special_tokens=[(END, tokenizer.eos_token_id)])
    tokenizer.backend_tokenizer.post_processor = end
    assert tokenizer.encode("") == [tokenizer.eos_token_id]
    (piece,) = pieces_of(cut(iter(["a b"]), tokenizer, 16))
    assert piece == tokenizer.encode("a b", add_special_tokens=False)


def test_texts_are_never_joined():
    tokenizer = tokenizer_of(True)
    many = [TEXT * (1 + i % 3) for i in range(150)]  # more than are tokenized at a time
    together = pieces_of(cut(iter(many), tokenizer, 16))
    assert together == [*chain(*(pieces_of(cut(iter([t]), tokenizer, 16)) for t in many))]


def test_memory_holds_four_bytes_a_token():
    """Not Python's numbers: a list of them takes eight bytes each and more. One byte more says what is a row."""
    tokenizer = tokenizer_of(True)
    list(cut(iter([TEXT]), tokenizer, 512))  # what is set up once
    tracemalloc.start()
    found = list(cut((TEXT * 300 for _ in range(40)), tokenizer, 512))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    tokens = sum(len(ids_T) for ids_T, _ in found)
    assert tokens > 100_000 and 5 * tokens <= held < 7 * tokens


# Parts


@settings(deadline=None)
@given(n=st.integers(0, 30), parts=st.integers(1, 6))
def test_parts_share_no_text_and_leave_none_out(n, parts, tmp_path_factory):
    path = write_rows(tmp_path_factory.mktemp("parts") / "s.jsonl", [{"text": f"{i}"} for i in range(n)])
    found = [list(texts(path, tokenizer_of(False), 3, part, parts)) for part in range(parts)]
    assert sorted(chain(*found), key=int) == [str(i) for i in range(n)]
    assert max(map(len, found)) - min(map(len, found)) <= 1
    together = list(texts(path, tokenizer_of(False), 3, 0, 1))
    assert found == [together[part::parts] for part in range(parts)]  # one order for all parts


def test_every_part_draws_from_all_of_a_source_that_is_published_kind_by_kind(tmp_path):
    """RedPajama's sample begins with arXiv and books: the first texts alone would hold no others."""
    kinds = ["arxiv", "book", "c4", "github", "wikipedia"]
    path = write_rows(tmp_path / "s.jsonl", [{"text": f"{kind} {i} ü"} for kind in kinds for i in range(200)])
    for part in range(10):
        first = [text.split()[0] for text in islice(texts(path, tokenizer_of(False), 0, part, 10), 50)]
        assert set(first) == set(kinds) and max(map(first.count, kinds)) < 25
    orders = [list(texts(path, tokenizer_of(False), seed, 0, 1)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2])


@pytest.mark.parametrize("end", ["\n", ""])
@given(lines=st.lists(st.text(st.sampled_from("aü\u2028\r ")), max_size=9), block=st.integers(1, 7))
def test_lines_start_behind_new_lines_alone(end, lines, block, tmp_path_factory):
    path = tmp_path_factory.mktemp("lines") / "s.jsonl"
    data = [f"{line}x\n".encode() for line in lines]
    path.write_bytes(b"".join(data).removesuffix(b"\n" if not end else b"\0"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "BLOCK_BYTES", block)
        assert line_starts(path).tolist() == [sum(map(len, data[:i])) for i in range(len(data))]


@pytest.mark.parametrize("row", ["{", '{"prompt": "a"}', '["text"]', '"text"', '{"messages": 3}', "3", ""])
def test_a_line_that_is_no_text_is_named(tmp_path, row):
    """Whatever the order, one of two parts has it."""
    path = tmp_path / "general.jsonl"
    path.write_text("".join(f"{line}\n" for line in ['{"text": "a"}'] * 5 + [row]))
    order = np.random.default_rng(stream_seed(0, "source-texts", "general")).permutation(6)
    bad = order.tolist().index(5) % 2
    assert len(list(texts(path, tokenizer_of(False), 0, 1 - bad, 2))) == 3
    with pytest.raises(ArtifactError, match=r"general\.jsonl: line 6 is no text or conversation"):
        list(texts(path, tokenizer_of(False), 0, bad, 2))


def test_conversations_go_through_the_chat_template(tmp_path):
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path = write_rows(tmp_path / "chats.jsonl", [{"messages": messages}])
    (text,) = texts(path, tokenizer_of(False), 0, 0, 1)
    assert text == "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"


@pytest.mark.parametrize("template", [TEMPLATE, "{{ bos_token }}" + TEMPLATE])
def test_one_first_token_whether_the_template_writes_it_or_not(files, template):
    tokenizer = tiny_tokenizer(begin=True)
    tokenizer.chat_template = template
    found = list(drawn(files["words"], 100, tokenizer, settings_of()))
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    for piece in pieces_of(found):
        assert piece[0] == tokenizer.bos_token_id and piece.count(tokenizer.bos_token_id) == 1
    assert found[0][0][1] == start


EVERY_TURN = "{% for m in messages %}{{ bos_token }}{{ m.content }}{% endfor %}"


def test_first_tokens_inside_a_sequence_are_no_rows(files, model):
    """A template that writes one every turn, and a text that spells it."""
    tokenizer = tiny_tokenizer(begin=True)
    tokenizer.chat_template = EVERY_TURN
    bos, seen = tokenizer.bos_token_id, 0
    for ids_T, rows_T in drawn(files["words"], 100, tokenizer, settings_of()):
        assert rows_T.tolist() == (ids_T != bos).tolist() and ids_T[0] == bos
        seen += int((ids_T[1:] == bos).sum())
    assert seen > 3
    ((ids_T, rows_T),) = cut(iter([f"a{BEGIN}{BEGIN}b"]), tokenizer, 16)
    assert (ids_T == bos).tolist() == [True, False, True, True, False] == (~rows_T).tolist()
    assert list(cut(iter([BEGIN * 9]), tokenizer, 4)) == []  # nothing but first tokens
    stream = build(files | {"numbers": files["words"]}, tokenizer, model, settings_of(rows=140, shard_rows=20))
    assert not bool((stream.row_mask_NT & (stream.token_ids_NT == bos)).any())


def test_rows_are_counted_without_inner_first_tokens(tmp_path):
    tokenizer = tiny_tokenizer(begin=True)
    path = write_rows(tmp_path / "s.jsonl", [{"text": f"a{BEGIN}" * 5} for _ in range(40)])
    found = list(drawn(path, 12, tokenizer, settings_of()))
    assert sum(int(rows_T.sum()) for _, rows_T in found) == 15  # three texts of five rows


def test_conversations_that_lose_text_are_counted(tmp_path, capsys):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace("message.content", "message.content.split('</think>')[-1]")
    turns = [("<think>long</think>short" if i % 3 == 0 else "short") for i in range(120)]
    rows = [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": t}]} for t in turns]
    path = write_rows(tmp_path / "chats.jsonl", rows)
    list(drawn(path, 50, tokenizer, settings_of(windows=1, part=0)))
    said = capsys.readouterr().err
    match = re.search(
        r"chats\.jsonl: (\d+) of (\d+) conversations lose text in the chat template, such as '(.+)'", said
    )
    assert match and match[3] == "<think>long</think>short" and 0 < int(match[1]) < int(match[2])
    tokenizer.chat_template = TEMPLATE
    list(drawn(path, 50, tokenizer, settings_of(windows=1, part=0)))
    assert "lose text" not in capsys.readouterr().err


def test_parts_and_their_rows_by_hand():
    """Seven shards of 100 rows, one held out, three windows: 2 shards each. One window: no parts at all."""
    assert [rows_of(settings_of(part)) for part in (0, 1, 2, 3)] == [100, 200, 200, 200]
    assert parts_of(settings_of()) == 4
    whole = settings_of(0, windows=1)
    assert (parts_of(whole), rows_of(whole)) == (1, 700)


# Building


def sequences(stream) -> list[list[int]]:
    return [ids_T[:n].tolist() for ids_T, n in zip(stream.token_ids_NT, stream.lengths_N.tolist(), strict=True)]


def source_of(text: str) -> str:
    return "numbers" if set(text) <= set("0123456789 ") else "words"


@pytest.mark.parametrize("part", [0, 1, 3])
def test_a_source_has_its_share_of_the_rows(model, files, part):
    """A tenth more than its share of the part's rows, and at most one sequence beyond that."""
    tokenizer, cfg = tokenizer_of(True), settings_of(part)
    stream, rows = build(files, tokenizer, model, cfg), dict.fromkeys(files, 0)
    for ids in sequences(stream):
        rows[source_of(tokenizer.decode(ids, skip_special_tokens=True))] += len(ids) - 1
    for source, share in (("words", 0.25), ("numbers", 0.75)):
        assert 0 <= rows[source] - round(1.1 * share * rows_of(cfg)) < 15
    assert stream.rows == sum(rows.values()) >= rows_of(cfg)
    assert stream.row_mask_NT.sum(1).tolist() == [n - 1 for n in stream.lengths_N.tolist()]
    assert not stream.row_mask_NT[:, 0].any()


def test_sources_are_mixed(model, files):
    tokenizer = tokenizer_of(True)
    kinds = [
        source_of(tokenizer.decode(i, skip_special_tokens=True))
        for i in sequences(build(files, tokenizer, model, settings_of()))
    ]
    assert sum(a != b for a, b in pairwise(kinds)) > 4  # two blocks would change once


def test_the_parts_of_a_stream_share_no_text(model, files):
    """By the number that each text of digits begins with."""
    order = np.random.default_rng(stream_seed(0, "source-texts", "numbers")).permutation(400)
    seen = []
    for part in range(4):
        text = "\n".join(
            tokenizer_of(True).decode(ids, skip_special_tokens=True)
            for ids in sequences(build(files, tokenizer_of(True), model, settings_of(part, sequence_tokens=200)))
        )
        numbers = {int(line.split()[0]) for line in text.splitlines() if source_of(line) == "numbers" and line.strip()}
        assert numbers <= set(order[part::4].tolist()) and len(numbers) > 3
        seen.append(numbers)
    assert len(set.union(*seen)) == sum(map(len, seen))


def test_a_stream_follows_from_seed_and_part_alone(model, files):
    tokenizer = tokenizer_of(True)
    first = build(files, tokenizer, model, settings_of())
    turned = {"mix": dict(reversed(STREAM["mix"].items()))}
    for again in (settings_of(), settings_of(**turned), settings_of(windows_on_disk=1, disk_gb=1)):
        assert build(files, tokenizer, model, again).digest() == first.digest()
    other = build(files, tokenizer, model, settings_of(seed=1))
    assert other.digest() != first.digest() and sorted(sequences(other)) != sorted(sequences(first))  # other texts
    orders = [build(files, tokenizer, model, settings_of(part, mix={"numbers": 1.0})) for part in (1, 2)]
    assert orders[0].lengths_N.tolist() != orders[1].lengths_N.tolist()


def test_rows_with_high_norms_are_dropped_by_the_reference(model, files):
    tokenizer = tokenizer_of(True)
    whole = build(files, tokenizer, model, settings_of())
    norms = [residual_stream(model, torch.tensor([ids]), 1)[0].norm(dim=-1) for ids in sequences(whole)]
    limit = 1.05 * torch.cat([n[1:] for n in norms]).median()
    kept = build(files, tokenizer, model, settings_of(max_norm_ratio=1.05))
    assert sequences(kept) == sequences(whole) and 0 < kept.rows < whole.rows
    for norm_T, mask_T in zip(norms, kept.row_mask_NT, strict=True):
        clear_T = ((norm_T - limit).abs() > 1e-4 * limit) & (torch.arange(len(norm_T)) > 0)
        assert torch.equal(mask_T[: len(norm_T)][clear_T], (norm_T <= limit)[clear_T])


def test_a_source_that_is_too_short_is_named_with_its_part(model, files):
    with pytest.raises(ArtifactError) as caught:
        build(files, tokenizer_of(True), model, settings_of(2, rows=70000, shard_rows=10000))
    needed = round(1.1 * 0.75 * 20000)
    pieces = cut(texts(files["numbers"], tokenizer_of(False), 0, 2, 4), tokenizer_of(True), 16)
    found = sum(len(ids_T) - 1 for ids_T, _ in pieces)
    assert str(files["numbers"]) in str(caught.value) and "\n" not in str(caught.value)
    assert f"part 2 of 4 holds {found} rows, {needed} are needed" in str(caught.value)
    assert "lower stream.rows or its share in stream.mix, or fetch more rows of it" in str(caught.value)


def test_an_empty_source_is_named(tmp_path):
    (tmp_path / "general.jsonl").write_text("")
    with pytest.raises(ArtifactError, match=r"general\.jsonl: part 1 of 4 holds 0 rows, 5 are needed"):
        list(drawn(tmp_path / "general.jsonl", 5, tokenizer_of(True), settings_of()))


def test_short_sequences_are_filled_up_with_any_token():
    tokenizer = tiny_tokenizer()
    assert pad_id(tokenizer) == tokenizer.convert_tokens_to_ids(PAD)
    tokenizer.pad_token = None
    assert pad_id(tokenizer) == tokenizer.convert_tokens_to_ids(END)
