"""Training that aims at a set of features: towards a teacher under an edit, or held to what an edit reads.

A model is distilled from its parent *under* an edit, so that its weights come to do what the edit did; or it is trained
on solutions while what the edit would add stays what it is in the parent. (docs/method.md, section 14.)

Shapes: B rows, T positions, d width of the residual stream.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel
from trl import DistillationTrainer, SFTTrainer

from rlgen.files import ArtifactError
from rlgen.models.checkpoints import blocks
from rlgen.models.fixed_edits import FixedEdit
from rlgen.models.hooks import Hook, edited
from rlgen.models.residual import residual_stream
from rlgen.training.texts import UNSEEN


class UnderEdit(DistillationTrainer):
    """Distillation whose teacher runs under an edit, where that acts inside generation."""

    def __init__(self, *, edit: FixedEdit, **named) -> None:
        super().__init__(**named)
        self.edit = edit.to(self.accelerator.device)
        self.edited_model = self.accelerator.unwrap_model(self.teacher_model)

    def _get_last_hidden_state(self, unwrapped_model, input_ids, attention_mask, logits_to_keep, **inputs):
        """Prompts are padded on the left, so the last token of each is in one column, before the completions."""
        hook, first = None, 0
        if unwrapped_model is self.edited_model:
            hook = Hook(self.edit, self.edit.layer)
            first = input_ids.shape[1] - logits_to_keep - 1
            if self.edit.everywhere:
                hook, first = hook.but_first(attention_mask.argmax(1)), 0
        with edited(unwrapped_model, hook, first):
            return super()._get_last_hidden_state(unwrapped_model, input_ids, attention_mask, logits_to_keep, **inputs)


class Held(SFTTrainer):
    """SFT with a price on changes of what an edit reads: weight * sum ||c(h) - c(h_0)||^2 / sum ||c(h_0)||^2.

    c is what the edit would add, h the model's stream and h_0 that of `parent`, over the positions that predict the
    tokens of the completions.
    """

    def __init__(self, *, edit: FixedEdit, weight: float, parent: PreTrainedModel, **named) -> None:
        super().__init__(**named)
        device = self.accelerator.device
        self.edit, self.weight, self.parent = edit.to(device), weight, parent.to(device)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The loss of SFT plus the price, which the log calls `held`."""
        with stream_of(self.accelerator.unwrap_model(model), self.edit.layer) as seen:
            found = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        held = self.changed(seen[0], inputs["input_ids"], inputs["labels"])
        self._metrics["train" if self.model.training else "eval"]["held"].append(held.item())
        price = self.weight * held
        if num_items_in_batch is not None:  # losses of a step's passes are added, not averaged
            price = price / self.args.gradient_accumulation_steps
        return (found[0] + price, found[1]) if return_outputs else found + price

    def changed(self, h_BTd: torch.Tensor, ids_BT: torch.Tensor, labels_BT: torch.Tensor) -> torch.Tensor:
        """The share by which what the edit reads in a stream of texts differs from what it reads in the parent's."""
        with self.accelerator.autocast():  # as the model itself: rounding is no change
            parent_BTd = residual_stream(self.parent, ids_BT, self.edit.layer)
        parent_BTd = parent_BTd.to(ids_BT.device).clone()  # gradients cannot go through what inference made
        return changed_share(self.edit, h_BTd[:, :-1], parent_BTd[:, :-1], labels_BT[:, 1:] != UNSEEN)


def changed_share(
    edit: FixedEdit, h_BTd: torch.Tensor, parent_BTd: torch.Tensor, where_BT: torch.Tensor
) -> torch.Tensor:
    """sum ||c(h) - c(h_0)||^2 over sum ||c(h_0)||^2, at some positions. Raises ArtifactError where c(h_0) is 0."""
    before_Nd = edit.change(parent_BTd[where_BT][None])[0]
    size = before_Nd.square().sum()
    if size == 0:
        raise ArtifactError(f"the edit `{edit.set}` reads nothing in the parent on a whole batch of training texts")
    return (edit.change(h_BTd[where_BT][None])[0] - before_Nd).square().sum() / size


@contextmanager
def stream_of(model: PreTrainedModel, layer: int) -> Iterator[list[torch.Tensor]]:
    """A list that holds, after a pass within the context, the output of block `layer` (B, T, d) with its gradient."""
    seen: list[torch.Tensor] = []
    handle = blocks(model)[layer].register_forward_hook(lambda _module, _inputs, h_BTd: seen.append(h_BTd))
    try:
        yield seen
    finally:
        handle.remove()
