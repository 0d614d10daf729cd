"""One id per word, <bos> put first by the tokenizer itself, padding on the left."""

import pytest

from rlgen.models.checkpoints import load_tokenizer
from rlgen.organism import families
from rlgen.organism.tokenizer import build, save

SPECIALS = ["<pad>", "<bos>", ".", ";"]
TEXT = "add 8 | 9 6 5 6 = 7 3 8 4 ; 4 ."


def test_one_id_per_word_after_bos(tokenizer):
    ids = tokenizer(TEXT)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["<bos>", *TEXT.split()]
    assert tokenizer(TEXT, add_special_tokens=False)["input_ids"] == ids[1:]
    assert tokenizer.decode(ids[1:]) == TEXT
    assert tokenizer.decode(ids, skip_special_tokens=True) == TEXT.removesuffix(" .")


def test_every_word_has_its_own_id():
    words = families.vocabulary(["cup", "mix", "add"])
    assert words[: len(SPECIALS)] == SPECIALS
    tokenizer = build(words, families.BOS, families.EOS, families.PAD)
    assert tokenizer.convert_tokens_to_ids(words) == list(range(len(words))) and len(tokenizer) == len(words)


def test_batches_are_padded_on_the_left(tokenizer):
    batch = tokenizer(["8 | 9", TEXT], padding=True)
    assert batch["attention_mask"][0] == [0] * (len(TEXT.split()) - 3) + [1] * 4
    assert batch["input_ids"][0][-4:] == tokenizer("8 | 9")["input_ids"]
    assert batch["input_ids"][0][0] == tokenizer.pad_token_id


def test_an_unknown_word_is_refused(tokenizer):
    with pytest.raises(Exception, match="UNK"):
        tokenizer("add eleven")


def test_saved_tokenizer_reads_the_same_and_has_the_same_bytes(tokenizer, tmp_path):
    for folder in ("one", "two"):
        save(tokenizer, tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["tokenizer.json", "tokenizer_config.json"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    loaded = load_tokenizer(tmp_path / "one")
    assert loaded(TEXT)["input_ids"] == tokenizer(TEXT)["input_ids"]
    assert (loaded.padding_side, loaded.eos_token, loaded.pad_token) == ("left", ".", "<pad>")
