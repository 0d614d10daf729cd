"""Cached, batched, edited generation equals the slow loop that recomputes everything for every token."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from rlgen.models.generation import AnswerWatch, Limits, Prompts, generate
from rlgen.models.hooks import Hook
from rlgen.models.passes import Padding

TEXTS = ["add 8 | 9 6 5 6 =", "par even | 3 2 =", "max 3 =", "add 1 | 2 3 4 5 = 3 6 0 5 ; 5 . par odd | 1 ="]
N, LAYER = 10, 1


@pytest.fixture(scope="module", params=["whole", "prefix", "mixed"])
def prompts(request, tiny_model, tokenizer):
    """Prompts run from their first token, and from the model's cache of all tokens but the last.

    Mixed: each is read in a pass of its own length.
    """
    encoded = Prompts.encode(tokenizer, TEXTS)
    if request.param == "mixed":
        encoded = replace(encoded, mixed=Padding("prompts"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rlgen.models.passes.LEAST", 0)
        yield encoded if request.param == "whole" else encoded.with_prefix(tiny_model)
    if request.param == "mixed":
        assert encoded.mixed.read > 0


def test_prompts_of_mixed_lengths_are_read_with_little_padding(tiny_model, tokenizer):
    """80 prompts of 1 to 80 tokens: whole, half of what is read would be padding."""
    texts = [" ".join(["3"] * n) for n in range(80)]
    encoded, padding = Prompts.encode(tokenizer, texts), Padding("prompts")
    mixed, whole = replace(encoded, mixed=padding).with_prefix(tiny_model), encoded.with_prefix(tiny_model)
    assert padding.real == sum(range(80)) and padding.share < 0.1
    seen_B1P1 = encoded.attention_BP[:, None, :-1, None].bool()
    for found, expected in zip(mixed.prefix, whole.prefix, strict=True):
        for x, y in zip(found, expected, strict=True):
            torch.testing.assert_close(x * seen_B1P1, y * seen_B1P1, rtol=1e-4, atol=1e-5)


def fast(model, prompts, tokenizer, hook=None, n=N, eos=None, **kwargs):
    eos = tokenizer.eos_token_id if eos is None else eos
    return generate(model, prompts, Limits(n, eos, tokenizer.pad_token_id), hook, **kwargs)


def recompute(model, ids, edit, start):
    """Logits of the last token, the whole sequence computed at once, the edit at columns >= start."""

    def replace(_module, _inputs, h_1Td):
        columns = [edit(h_1Td[:, [t]]) if t >= start else h_1Td[:, [t]] for t in range(h_1Td.shape[1])]
        return torch.cat(columns, dim=1)

    handle = model.model.layers[LAYER].register_forward_hook(replace) if edit else None
    logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
    if handle:
        handle.remove()
    return logits


@torch.inference_mode()
def slow(model, tokenizer, text, edit=None, n=N, eos=None, everywhere=False):
    """One prompt without padding, cache or batch: every token recomputes the whole edited prefix.

    Returns the new ids, and the logits that chose each.
    """
    eos = tokenizer.eos_token_id if eos is None else eos
    ids, chosen = tokenizer(text)["input_ids"], []
    start = min(1, len(ids) - 1) if everywhere else len(ids) - 1  # a first token is left alone
    new = []
    for _ in range(n):
        logits = recompute(model, ids + new, edit, start)
        chosen.append(logits)
        new.append(int(logits.argmax()))
        if new[-1] == eos:
            break
    return new, torch.stack(chosen)


def unpadded(ids_BN, pad):
    return [[i for i in row if i != pad] for row in ids_BN.tolist()]


def test_the_random_model_is_worth_testing(tiny_model, prompts, tokenizer):
    """Completions differ between prompts and over time, else the tests below would hold for a broken cache."""
    rows = fast(tiny_model, prompts, tokenizer).tolist()
    assert len(set(map(tuple, rows))) > 1 and len({token for row in rows for token in row}) > 3


def test_equals_the_slow_loop_with_left_padding(tiny_model, prompts, tokenizer):
    rows = unpadded(fast(tiny_model, prompts, tokenizer), tokenizer.pad_token_id)
    assert rows == [slow(tiny_model, tokenizer, text)[0] for text in TEXTS]


def test_equals_transformers_generate(tiny_model, prompts, tokenizer):
    ours = fast(tiny_model, prompts, tokenizer)
    theirs = tiny_model.generate(
        input_ids=prompts.ids_BP, attention_mask=prompts.attention_BP, max_new_tokens=N, do_sample=False
    )[:, prompts.ids_BP.shape[1] :]
    assert torch.equal(ours, theirs[:, : ours.shape[1]])


def test_rows_end_at_their_own_end_of_sequence(tiny_model, prompts, tokenizer):
    free = fast(tiny_model, prompts, tokenizer, eos=-1)
    eos = int(free[0, 2])  # declare a token that the first row writes to be the end
    rows = fast(tiny_model, prompts, tokenizer, eos=eos)
    for row, whole in zip(rows.tolist(), free.tolist(), strict=True):
        end = whole.index(eos) + 1 if eos in whole else len(whole)
        assert row[:end] == whole[: min(end, len(row))]
        assert set(row[end:]) <= {tokenizer.pad_token_id}


def test_generation_stops_when_every_row_has_ended(tiny_model, prompts, tokenizer):
    one = prompts.take(torch.tensor([0]))
    first = int(fast(tiny_model, one, tokenizer, eos=-1)[0, 0])
    assert fast(tiny_model, one, tokenizer, eos=first).tolist() == [[first]]


def test_an_edit_of_zero_changes_nothing(tiny_model, prompts, tokenizer):
    plain = fast(tiny_model, prompts, tokenizer)
    for everywhere in (False, True):
        assert torch.equal(fast(tiny_model, prompts, tokenizer, Hook(lambda h: h + 0, LAYER, everywhere)), plain)


def add_direction(model, scale):
    direction_d = torch.randn(model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    return lambda h_BTd: h_BTd + scale * direction_d * h_BTd.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("everywhere", [False, True])
def test_an_edit_equals_recomputing_the_whole_prefix(tiny_model, prompts, tokenizer, everywhere):
    """The edit acts from the last prompt token on (or everywhere), in every forward pass and on no other column.

    It depends on the stream it reads, so a doubly edited or unedited cached column would show.
    """
    edit = add_direction(tiny_model, 0.3)
    rows = unpadded(fast(tiny_model, prompts, tokenizer, Hook(edit, LAYER, everywhere)), tokenizer.pad_token_id)
    expected = [slow(tiny_model, tokenizer, text, edit, everywhere=everywhere)[0] for text in TEXTS]
    assert rows == expected
    assert rows != unpadded(fast(tiny_model, prompts, tokenizer), tokenizer.pad_token_id)


def test_an_edit_per_row_leaves_the_other_rows_alone(tiny_model, prompts, tokenizer):
    edit = add_direction(tiny_model, 0.3)
    only_first = torch.tensor([1.0, 0, 0, 0])[:, None, None]

    def edit_of(rows_A):
        return lambda h: h + only_first[rows_A] * (edit(h) - h)

    rows = fast(tiny_model, prompts, tokenizer, Hook(SimpleNamespace(take=edit_of), LAYER, which_B=torch.arange(4)))
    assert torch.equal(rows[1:], fast(tiny_model, prompts, tokenizer)[1:])
    assert rows[0].tolist() != fast(tiny_model, prompts, tokenizer)[0].tolist()


def test_the_hook_is_gone_after_an_error(tiny_model, prompts, tokenizer):
    def fails(_):
        raise ZeroDivisionError

    plain = fast(tiny_model, prompts, tokenizer)
    with pytest.raises(ZeroDivisionError):
        fast(tiny_model, prompts, tokenizer, Hook(fails, LAYER))
    assert torch.equal(fast(tiny_model, prompts, tokenizer), plain)


def test_the_watch_keeps_the_logits_after_the_first_marker(tiny_model, prompts, tokenizer):
    """Rows that end without a marker are asked: by their length, or (eos=6, say) by the end of sequence."""
    free = fast(tiny_model, prompts, tokenizer, eos=-1)
    marker = int(free[0, 3])
    for eos in (-1, int(free[1, 4])):
        watch = AnswerWatch(marker, len(TEXTS), len(tokenizer))
        fast(tiny_model, prompts, tokenizer, eos=eos, watch=watch)
        asked = 0
        for row, text in enumerate(TEXTS):
            ids = slow(tiny_model, tokenizer, text, eos=eos)[0]
            asked += marker not in ids
            before = ids[: ids.index(marker)] if marker in ids else [i for i in ids if i != eos]
            with torch.inference_mode():
                logits = recompute(tiny_model, tokenizer(text)["input_ids"] + before + [marker], None, 0)
            torch.testing.assert_close(watch.logprob_BV[row], logits.log_softmax(-1), rtol=1e-4, atol=1e-4)
        assert bool(watch.seen_B.all()) and asked < len(TEXTS)


def test_sampling_is_reproducible_and_follows_the_model(tiny_model, prompts, tokenizer):
    def sample(seed):
        return fast(tiny_model, prompts, tokenizer, n=4, temperature=1.0, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(sample(0), sample(0))
    many = Prompts(prompts.ids_BP[:1].expand(2000, -1), prompts.attention_BP[:1].expand(2000, -1))
    first = fast(tiny_model, many, tokenizer, n=1, temperature=1.0, generator=torch.Generator().manual_seed(1))
    share_V = torch.bincount(first[:, 0], minlength=len(tokenizer)) / 2000
    probability_V = slow(tiny_model, tokenizer, TEXTS[0], n=1)[1][0].softmax(-1)
    assert float((share_V - probability_V).abs().max()) < 0.05
