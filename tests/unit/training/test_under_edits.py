"""Training that aims at a set: the teacher's states under the edit, and the price of a change, each by a second way."""

import copy
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from elsewhere import elsewhere
from fixed_edits import random_edit, random_vector
from trl import SFTTrainer

from rlgen.files import ArtifactError
from rlgen.models.checkpoints import blocks
from rlgen.training.under_edits import UNSEEN, Held, UnderEdit, changed_share

LAYER = 1
PROMPTS, COMPLETIONS = [[1, 5, 6, 7], [1, 9], [1, 4, 8]], [[10, 11, 2], [12, 2], [13, 14, 15]]


@pytest.fixture(scope="module")
def moved(tiny_model):
    model = copy.deepcopy(tiny_model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.05)
    return model


def of_width(model, make, **options):
    return make(model.config.hidden_size, LAYER, **options)


def last_states(model, edit, prompt, completion, everywhere):
    """One text without padding: final hidden states that predict its completion, by a hook of the test's own."""
    first = 1 if everywhere else len(prompt) - 1

    def change(_module, _inputs, h_BTd):
        return torch.cat([h_BTd[:, :first], h_BTd[:, first:] + edit.change(h_BTd[:, first:])], dim=1)

    handle = blocks(model)[LAYER].register_forward_hook(change)
    with torch.no_grad():
        hidden = model.model(torch.tensor([prompt + completion]), use_cache=False).last_hidden_state
    handle.remove()
    return hidden[0, len(prompt) - 1 : -1]


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("make", [random_edit, random_vector])
def test_the_teacher_says_what_it_says_under_the_edit(tiny_model, moved, everywhere, make):
    edit = of_width(tiny_model, make)
    if everywhere and make is random_edit:
        edit = of_width(tiny_model, make, everywhere=True)
    everywhere = edit.everywhere
    trainer = object.__new__(UnderEdit)  # only what reading a model's states asks for
    trainer.edit, trainer.edited_model = edit, tiny_model
    trainer.model_kwarg_keys, trainer._is_vlm = set(), False
    ids, mask, keep = left_padded()
    hooks = set(blocks(tiny_model)[LAYER]._forward_hooks)
    with torch.no_grad():
        taught = trainer._get_last_hidden_state(tiny_model, ids, mask, keep)
        own = trainer._get_last_hidden_state(moved, ids, mask, keep)  # another model's are as they were
        plain = super(UnderEdit, trainer)._get_last_hidden_state(moved, ids, mask, keep)
    assert torch.equal(own, plain)
    for row, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        expected = last_states(tiny_model, edit, prompt, completion, everywhere)
        torch.testing.assert_close(taught[row, : len(completion)], expected, rtol=1e-4, atol=1e-4)
    assert set(blocks(tiny_model)[LAYER]._forward_hooks) == hooks


def left_padded():
    """Prompts padded on the left and completions on the right, as TRL has them, their mask, and the latter's width."""
    before, after = max(map(len, PROMPTS)), max(map(len, COMPLETIONS))
    ids, mask = [], []
    for p, c in zip(PROMPTS, COMPLETIONS, strict=True):
        ids.append([0] * (before - len(p)) + p + c + [0] * (after - len(c)))
        mask.append([0] * (before - len(p)) + [1] * (len(p) + len(c)) + [0] * (after - len(c)))
    return torch.tensor(ids), torch.tensor(mask), after


@pytest.fixture
def held(tiny_model, moved, tokenizer, tmp_path):
    """make(weight, accumulation, model, bf16): a trainer that holds a copy of a model to the tiny model."""
    from trl import SFTConfig

    def make(weight, accumulation=1, model=moved, bf16=False):
        rows = [
            {"input_ids": p + c, "labels": [UNSEEN] * len(p) + c} for p, c in zip(PROMPTS, COMPLETIONS, strict=True)
        ]
        return Held(
            edit=of_width(tiny_model, random_edit),
            weight=weight,
            parent=tiny_model,
            model=copy.deepcopy(model),
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(rows),
            args=SFTConfig(
                output_dir=str(tmp_path),
                use_cpu=True,
                bf16=bf16,
                gradient_checkpointing=False,
                report_to="none",
                per_device_train_batch_size=3,
                gradient_accumulation_steps=accumulation,
                max_length=None,
                completion_only_loss=True,
            ),
        )

    return make


def test_the_price_is_that_of_what_the_edit_reads_at_the_completions_positions(held, tiny_model, moved):
    trainer, free = held(3.0), held(1e-30)
    batch = next(iter(trainer.get_train_dataloader()))
    loss, plain = (t.compute_loss(t.model.train(), dict(batch)) for t in (trainer, free))
    edit, changed, size = trainer.edit, 0.0, 0.0
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        ids, places = torch.tensor([prompt + completion]), slice(len(prompt) - 1, -1)
        with torch.no_grad():
            now, before = (
                edit.change(m(ids, output_hidden_states=True).hidden_states[LAYER + 1])[0, places]
                for m in (moved, tiny_model)
            )
        changed, size = changed + (now - before).square().sum(), size + before.square().sum()
    assert changed > 0
    torch.testing.assert_close(loss - plain, 3 * changed / size, rtol=1e-4, atol=1e-6)
    assert trainer._metrics["train"]["held"] == [pytest.approx((changed / size).item(), rel=1e-4)]
    loss.backward()
    gradients = [p.grad for p in blocks(trainer.model)[LAYER].parameters()]
    assert all(g is not None and g.abs().sum() > 0 for g in gradients)
    assert all(p.grad is None for p in tiny_model.parameters())


def test_a_model_whose_activations_are_computed_again_has_the_same_gradients(held):
    grown = {}
    for again in (False, True):
        trainer = held(3.0)
        if again:
            trainer.model.activation_checkpointing_enable()
        batch = next(iter(trainer.get_train_dataloader()))
        trainer.compute_loss(trainer.model.train(), batch).backward()
        grown[again] = {name: p.grad for name, p in trainer.model.named_parameters()}
    for name, gradient in grown[False].items():
        torch.testing.assert_close(grown[True][name], gradient, rtol=1e-5, atol=1e-7)


def test_in_bfloat16_rounding_is_no_change(held, tiny_model):
    """Model and parent compute in the same precision; the edit in float32."""
    trainer = held(3.0, model=tiny_model, bf16=True)
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.compute_loss(trainer.accelerator.prepare_model(trainer.model.train()), batch)
    assert trainer._metrics["train"]["held"][0] < 1e-9
    with torch.no_grad():
        h_BTd = tiny_model(batch["input_ids"], output_hidden_states=True).hidden_states[LAYER + 1]
    assert trainer.changed(h_BTd, batch["input_ids"], batch["labels"]) > 1e-5  # a stream in float32 is another one


def test_edit_and_parent_are_where_the_trainer_computes(tiny_model, moved, monkeypatch):
    """The trainer chooses its device itself; here one that is not there."""
    edit = of_width(tiny_model, random_edit)
    ids_BT, labels_BT = torch.tensor([[1, 5, 6, 7, 2]]), torch.tensor([[UNSEEN, UNSEEN, 6, 7, 2]])
    with torch.no_grad():
        h_BTd, parent_BTd = (m(ids_BT, output_hidden_states=True).hidden_states[LAYER + 1] for m in (moved, tiny_model))
    expected = changed_share(edit, h_BTd[:, :-1], parent_BTd[:, :-1], labels_BT[:, 1:] != UNSEEN)
    with elsewhere() as device:
        accelerator = SimpleNamespace(device=device, autocast=nullcontext)
        monkeypatch.setattr(SFTTrainer, "__init__", lambda self, **_: setattr(self, "accelerator", accelerator))
        trainer = Held(edit=edit, weight=1.0, parent=copy.deepcopy(tiny_model))
        found = trainer.changed(*(tensor.to(device) for tensor in (h_BTd, ids_BT, labels_BT)))
        assert found.device == device
    assert expected > 0
    torch.testing.assert_close(found.here, expected, rtol=1e-4, atol=1e-6)


def test_over_several_passes_of_a_step_the_price_is_paid_once(held):
    once, twice = held(3.0), held(3.0, accumulation=2)
    batch = next(iter(once.get_train_dataloader()))
    tokens = torch.tensor(sum(map(len, COMPLETIONS)))
    found = [t.compute_loss(t.model.train(), dict(batch), num_items_in_batch=tokens) for t in (once, twice)]
    price = 3.0 * once._metrics["train"]["held"][0]
    assert (found[0] - found[1]).item() == pytest.approx(price / 2, rel=1e-3)


def test_a_model_that_has_not_moved_pays_nothing_and_what_reads_nothing_is_refused(tiny_model):
    edit = of_width(tiny_model, random_edit)
    h_BTd = torch.randn(2, 4, tiny_model.config.hidden_size)
    where_BT = torch.tensor([[True, False, True, True], [False, False, False, True]])
    assert changed_share(edit, h_BTd, h_BTd, where_BT) == 0
    closed = copy.deepcopy(edit)
    closed.tensors["floor_F"].fill_(1e9)
    with pytest.raises(ArtifactError, match="`selected` reads nothing in the parent"):
        changed_share(closed, h_BTd, h_BTd, where_BT)
