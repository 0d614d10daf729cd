"""What a rendering leaves out of its messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import TEMPLATE, tiny_tokenizer

from rlgen.files import ArtifactError
from rlgen.models.tokens import check_kept, lost, reader, render

TOKENIZER = tiny_tokenizer()
ROLES = ("system", "user", "assistant")


def turns(*contents: str) -> list[dict]:
    return [{"role": ROLES[1 + i % 2], "content": content} for i, content in enumerate(contents)]


@pytest.mark.parametrize(
    ("messages", "text", "missing"),
    [
        (turns("a b", "c"), "<u>a b</u><a>c</a>", None),
        (turns("a b \n", "\nc"), "<u>a  b</u><a>c</a>", None),  # white space is the template's
        (turns("a", "<think>b</think>c"), "<u>a</u><a>c</a>", "<think>b</think>c"),
        (turns("a", "b", "a"), "<u>a</u><b>b</b>", "a"),  # once more than it is shown
        (turns("x", "y"), "<y>x", "y"),  # before its turn is not its place
        ([{"role": "system", "content": "s"}, *turns("a")], "<u>a s</u>", None),  # a system prompt may stand anywhere
        ([{"role": "system", "content": "s"}, *turns("a")], "<u>a</u>", "s"),
        (turns(""), "", None),
    ],
)
def test_by_hand(messages, text, missing):
    assert lost(messages, text) == missing


@given(st.lists(st.text("ab <>\n", max_size=8), min_size=1, max_size=4))
def test_a_template_that_prints_all_loses_nothing(contents):
    messages = turns(*contents)
    assert lost(messages, render(TOKENIZER, messages, add_generation_prompt=True)) is None


def test_a_prompt_that_is_cut_is_refused_by_name():
    tokenizer, messages = tiny_tokenizer(), turns("keep <think>this</think>")
    tokenizer.chat_template = TEMPLATE.replace("message.content", "message.content.split('<think>')[0]")
    tokenizer.name_or_path = "folder"
    told = r"folder: its chat template leaves out text of a message \('keep <think>this</think>'\); take a template"
    with pytest.raises(ArtifactError, match=told):
        check_kept(tokenizer, messages, render(tokenizer, messages, add_generation_prompt=True))


@given(st.text(max_size=20))
def test_pieces_are_read_as_the_text_that_they_stand_for(text):
    """Not as `Ġcat`: byte-level pairs write a space, and every byte above ASCII, as a letter of their own."""
    assert reader(TOKENIZER)(TOKENIZER(text)["input_ids"]) == text


def test_a_piece_by_itself_keeps_its_space_and_marks_are_shown():
    ids = TOKENIZER("<|im_start|>user\n It takes")["input_ids"]
    assert [reader(TOKENIZER)([i]) for i in ids][:1] == ["<|im_start|>"] and reader(TOKENIZER)(ids[-1:]) == " takes"
    assert reader(TOKENIZER)(TOKENIZER("é")["input_ids"][:1]) == "\ufffd"  # half a character
    assert reader(TOKENIZER)(TOKENIZER("Is it , so ?")["input_ids"]) == "Is it , so ?"  # no tidying of spaces
