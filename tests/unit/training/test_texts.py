"""Training texts as tokens: the loss on the completion alone, lengths reported, what cannot be trained on refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_checkpoint, tiny_tokenizer

from rlgen.files import ArtifactError
from rlgen.models.checkpoints import load_tokenizer
from rlgen.tasks.samples import Example
from rlgen.training.settings import GRPO, SFT, GRPOScale, Scale, TrainGRPO, TrainSFT
from rlgen.training.texts import UNSEEN, completion_of, prompt_rows, set_end_token, sft_rows, within

ARCHITECTURES = ["Qwen3ForCausalLM", "LlamaForCausalLM"]
TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
ASKED = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
THINKS = "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
EXAMPLES = [Example(f"What is {i} + {i}?", f"It takes {i} + {i}." + " So." * i, str(2 * i)) for i in range(8)]
ASK = {"add_generation_prompt": True, "tokenize": True, "return_dict": False}
ENDS = Scale(max_length=200, end_token="<|im_end|>")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def parent(request, tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("parent"), request.param)


def sft(scale: Scale | None = ENDS, chat: bool = True, **fields) -> TrainSFT:
    model = SFT(parent="base", examples=8, batch_size=2, scale=scale, **{"checkpoints": 2} | fields)
    return TrainSFT(seed=0, threads=1, name="sft", model=model, chat=chat)


def grpo(scale: GRPOScale | None, marker: str | None = None, **fields) -> TrainGRPO:
    settings = {"prompts": 8, "prompts_per_step": 2, "rollouts": 2, "max_new_tokens": 10, "checkpoints": 2} | fields
    model = GRPO(parent="base", scale=scale, **settings)
    return TrainGRPO(seed=0, threads=1, name="rl", model=model, chat=True, answer_marker=marker)


def tokenizer_for(parent, cfg):
    tokenizer = load_tokenizer(parent)
    set_end_token(tokenizer, parent, cfg.model.scale)
    return tokenizer


def test_the_loss_sees_the_answering_turn_and_nothing_else(parent):
    tokenizer = tokenizer_for(parent, sft())
    rows = sft_rows(EXAMPLES, tokenizer, parent, sft())
    assert rows.column_names == ["input_ids", "labels"] and len(rows) == 8
    for row, example in zip(rows, EXAMPLES, strict=True):
        ids, labels = np.array(row["input_ids"]), np.array(row["labels"])
        assert tokenizer.decode(ids[labels != UNSEEN]) == f"{example.completion}<|im_end|>\n"
        assert tokenizer.decode(ids[labels == UNSEEN]).endswith(
            f"<|im_start|>user\n{example.prompt}<|im_end|>\n<|im_start|>assistant\n"
        )
        assert np.array_equal(ids[labels != UNSEEN], labels[labels != UNSEEN])


@pytest.mark.slow
@pytest.mark.parametrize("chat", [True, False])
def test_tokens_and_labels_are_those_that_trl_makes_of_the_texts(parent, chat, tmp_path):
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from rlgen.models.checkpoints import load_model
    from rlgen.training.texts import prompt_of

    cfg = sft(ENDS if chat else Scale(max_length=200), chat)
    tokenizer = tokenizer_for(parent, cfg)
    ours = sft_rows(EXAMPLES, tokenizer, parent, cfg)
    texts = [{"prompt": prompt_of(e, chat), "completion": completion_of(e, chat)} for e in EXAMPLES]
    options = {"use_cpu": True, "bf16": False, "report_to": "none", "max_length": None, "completion_only_loss": True}
    trainer = SFTTrainer(
        model=load_model(parent),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(texts),
        args=SFTConfig(output_dir=str(tmp_path), **options),
    )
    for name in ("input_ids", "labels"):
        assert list(trainer.train_dataset[name]) == list(ours[name]), name


@pytest.mark.parametrize(
    ("template", "chat", "told"),
    [
        (TURNS + THINKS, True, r"8 of 8 prompts are not the beginning .* \(line 1: '<think>\\n' becomes"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", True, None),  # nothing added: the prompt begins all
        (
            "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}<|im_end|>",
            True,
            r"line 1: .* becomes",
        ),
    ],
)
def test_a_template_whose_prompt_is_not_the_beginning_is_refused(tmp_path, template, chat, told):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    parent = tiny_checkpoint(tmp_path, tokenizer=tokenizer)
    if told is None:
        told = r"8 of 8 completions end in .* without a token that ends generation"
    with pytest.raises(ArtifactError, match=told):
        sft_rows(EXAMPLES, tokenizer_for(parent, sft()), parent, sft())


STRIPS = (  # as DeepSeek's template does with what an assistant thought
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
) + ASKED


def test_text_that_the_template_leaves_out_is_refused(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = STRIPS
    parent = tiny_checkpoint(tmp_path, tokenizer=tokenizer)
    sft_rows(EXAMPLES, tokenizer_for(parent, sft()), parent, sft())  # nothing to cut
    examples = [*EXAMPLES[:2], Example("What?", "<think>It is 3.</think>3", "3"), *EXAMPLES[3:]]
    told = r"the chat template leaves out text of 1 of 8 conversations \(line 3: '<think>It is 3\.</think>3'\), take a"
    with pytest.raises(ArtifactError, match=told):
        sft_rows(examples, tokenizer_for(parent, sft()), parent, sft())
    asked = [*EXAMPLES[:5], Example("a </think> b", "", "3"), *EXAMPLES[6:]]
    with pytest.raises(ArtifactError, match=r"1 of 8 conversations \(line 6: 'a </think> b'\)"):
        prompt_rows(asked, load_tokenizer(parent), parent, grpo(None))


def test_a_completion_that_merges_with_the_prompt_is_refused(tmp_path):
    tokenizer = tiny_tokenizer(["a  \nb" * 50], vocabulary=270)  # learns two spaces as one token
    parent = tiny_checkpoint(tmp_path, tokenizer=tokenizer)
    examples = [*EXAMPLES[:5], Example("a ", "\nb", "1"), *EXAMPLES[6:]]
    with pytest.raises(ArtifactError, match=r"1 of 8 prompts are not the beginning of prompt and completion.*line 6"):
        sft_rows(examples, load_tokenizer(parent), parent, sft(Scale(max_length=200), chat=False))


def test_turns_without_a_chat_template_are_refused(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    parent = tiny_checkpoint(tmp_path, tokenizer=tokenizer)
    for rows, cfg in ((sft_rows, sft()), (prompt_rows, grpo(None)), (sft_rows, sft(None))):
        with pytest.raises(ArtifactError, match="has no chat template; expected one, or texts without turns"):
            rows(EXAMPLES, load_tokenizer(parent), parent, cfg)


def test_a_completion_that_never_ends_is_refused_until_its_token_is_named(parent):
    without = sft(Scale(max_length=200))
    told = r"8 of 8 completions end in '.*<\|im_end\|>\\n' without a token that ends generation \(<\|endoftext\|>\)"
    with pytest.raises(ArtifactError, match=told):
        sft_rows(EXAMPLES, tokenizer_for(parent, without), parent, without)
    unknown = sft(Scale(max_length=200, end_token="<end>"))
    with pytest.raises(ArtifactError, match=r"scale\.end_token: '<end>' is no token of"):
        tokenizer_for(parent, unknown)


def test_more_tokens_than_positions_are_refused(parent):
    cfg = sft(Scale(max_length=513, end_token="<|im_end|>"))
    with pytest.raises(ArtifactError, match=r"scale\.max_length: 513, but .* has 512 positions"):
        sft_rows(EXAMPLES, tokenizer_for(parent, cfg), parent, cfg)


def test_long_texts_are_left_out_whole_and_told_before_training(parent, capsys):
    tokenizer = tokenizer_for(parent, sft())
    lengths = [len(row["input_ids"]) for row in sft_rows(EXAMPLES, tokenizer, parent, sft())]
    capsys.readouterr()
    limit = sorted(lengths)[4]  # 5 of 8 fit, of which 4 fill two steps
    cfg = sft(Scale(max_length=limit, max_cut_share=0.375, end_token="<|im_end|>"))
    rows = sft_rows(EXAMPLES, tokenizer, parent, cfg)
    assert [len(row["input_ids"]) for row in rows] == [n for n in lengths if n <= limit][:4]
    said = capsys.readouterr().err
    assert f"longest {max(lengths)}\n3 of 8 training texts (37.50%) are longer than scale.max_length={limit}" in said
    assert "tokens; left out: 4, of which 1 only fill no step of 2" in said
    strict = sft(Scale(max_length=limit, max_cut_share=0.374, end_token="<|im_end|>"))
    few = cfg.model_copy(update={"model": cfg.model.model_copy(update={"checkpoints": 3})})
    with pytest.raises(ArtifactError, match="2 steps of 2 are left, expected at least one for each of 3 checkpoints"):
        sft_rows(EXAMPLES, tokenizer, parent, few)
    told = rf"3 of 8 training texts \(37.50%\) .*={limit} tokens \(longest {max(lengths)}\), expected .*=37.40%"
    with pytest.raises(ArtifactError, match=told):
        sft_rows(EXAMPLES, tokenizer, parent, strict)


def test_quantiles_by_hand(capsys):
    within(SFT(parent="b", examples=10, batch_size=1, scale=Scale(max_length=99)), list(range(1, 11)), 1, "texts")
    assert capsys.readouterr().err.startswith(
        "10 texts, tokens: median 5, 90 % 9, 99 % 10, longest 10\n0 of 10 texts (0.00%)"
    )


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 30), st.integers(1, 4), st.floats(0, 1))
def test_what_is_kept_fits_fills_steps_and_stays_in_order(lengths, limit, step, share):
    scale = Scale(max_length=max(limit, 2), max_cut_share=share)
    settings, over = SFT(parent="b", scale=scale, checkpoints=1), sum(n > scale.max_length for n in lengths)
    if over > share * len(lengths) or len(lengths) - over < step:
        with pytest.raises(ArtifactError):
            within(settings, lengths, step, "texts")
        return
    kept = within(settings, lengths, step, "texts")
    assert kept == sorted(kept) and len(kept) % step == 0
    assert all(lengths[i] <= scale.max_length for i in kept)
    assert len(lengths) - over - len(kept) < step


def test_prompts_of_rl_leave_room_for_what_is_generated(parent):
    tokenizer = load_tokenizer(parent)
    longest = max(len(tokenizer.apply_chat_template([{"role": "user", "content": e.prompt}], **ASK)) for e in EXAMPLES)
    whole = GRPOScale(max_length=longest + 10, vllm="none", max_cut_share=0)
    rows = prompt_rows(EXAMPLES, tokenizer, parent, grpo(whole))
    assert rows[3] == {"prompt": [{"role": "user", "content": EXAMPLES[3].prompt}], "answer": "6"}
    with pytest.raises(ArtifactError, match=r"of 8 prompts with completions .* are longer than scale\.max_length"):
        prompt_rows(EXAMPLES, tokenizer, parent, grpo(whole.model_copy(update={"max_length": longest + 9})))


@pytest.mark.parametrize("answer", [None, "", "  "])
def test_an_empty_answer_is_refused_by_its_line(parent, answer):
    examples = [*EXAMPLES[:2], Example("What?", "That.", answer), *EXAMPLES[3:]]
    with pytest.raises(ArtifactError, match="line 3 of the training examples has no answer"):
        prompt_rows(examples, load_tokenizer(parent), parent, grpo(None))


def test_the_organism_reads_texts_as_ever(parent):
    rows = sft_rows(EXAMPLES, load_tokenizer(parent), parent, sft(None, chat=False))
    assert rows[1] == {"prompt": "What is 1 + 1?", "completion": " It takes 1 + 1. So."}


@pytest.mark.parametrize("how", [{"scale": None, "chat": False}, {}])
def test_of_fewer_examples_whole_steps_are_taken_and_said(parent, how, capsys):
    """A teacher solves fewer problems than `examples` allows."""
    cfg = sft(**how)
    rows = sft_rows(EXAMPLES[:7], tokenizer_for(parent, cfg), parent, cfg)
    assert len(rows) == 6 and cfg.model.least == 4
    assert "6 training examples of the 8 that examples allows: 7 are there" in capsys.readouterr().err
    sft_rows(EXAMPLES, tokenizer_for(parent, cfg), parent, cfg)
    assert "allows" not in capsys.readouterr().err


def test_a_style_picks_the_text_and_a_missing_one_is_refused():
    both = Example("What?", "see so ; 4", "4", plain="4 ; 4")
    assert (completion_of(both, chat=False), completion_of(both, False, "plain")) == (" see so ; 4", " 4 ; 4")
    assert completion_of(both, True, "plain") == [{"role": "assistant", "content": "4 ; 4"}]
    with pytest.raises(ArtifactError, match=r"'What\?' has no plain solution, expected style: teacher"):
        completion_of(Example("What?", "see so ; 4", "4"), False, "plain")
