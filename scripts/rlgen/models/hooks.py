"""Edits of the residual stream at the output of one block, and which of them each row of a batch is given."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from transformers import PreTrainedModel

from rlgen.models.checkpoints import blocks

# (residual stream h_BTd of the columns that may change) -> the edited h_BTd; row b is row b of the batch.
Edit = Callable[[torch.Tensor], torch.Tensor]


class EditPerRow(Protocol):
    """Several edits, of which every row of a batch is given one."""

    def take(self, which_B: torch.Tensor) -> Edit:
        """The edit of a batch whose row b is given edit number which_B[b]."""


@dataclass(frozen=True)
class Hook:
    """Edits and where they act: the output of block `layer`, from the last prompt token on or everywhere.

    Everywhere is from a prompt's second token on. The first is what real models attend to where there is nothing to
    attend to; its stream is a hundred times as long as others', no row of a harvest, and a readout of it means nothing.
    """

    edits: Edit | EditPerRow
    layer: int
    everywhere: bool = False
    which_B: torch.Tensor | None = None  # which of the edits each row is given; None: `edits` is one, of all rows

    @cached_property
    def edit(self) -> Edit:
        """The edit of the batch."""
        return self.edits if self.which_B is None else self.edits.take(self.which_B)

    def take(self, rows_A: torch.Tensor) -> "Hook":
        """The hook of some rows of the batch."""
        if self.which_B is None:
            return self
        return replace(self, which_B=self.which_B[rows_A.to(self.which_B.device)])

    def but_first(self, padding_B: torch.Tensor) -> "Hook":
        """The hook of a pass over prompts from column 0 on, whose first token stays as it is."""

        def edit(h_BTd: torch.Tensor) -> torch.Tensor:
            first_BT = torch.arange(h_BTd.shape[1], device=h_BTd.device) == padding_B[:, None]
            return torch.where(first_BT[..., None], h_BTd, self.edit(h_BTd))

        return replace(self, edits=edit, which_B=None)


@contextmanager
def edited(model: PreTrainedModel, hook: Hook | None, first_column: int = 0) -> Iterator[None]:
    """Within the context block `hook.layer` outputs the edited stream in columns >= `first_column`."""
    if hook is None:
        yield
        return

    def replaced(_module, _inputs, h_BTd: torch.Tensor) -> torch.Tensor:
        if first_column == 0:
            return hook.edit(h_BTd)
        return torch.cat([h_BTd[:, :first_column], hook.edit(h_BTd[:, first_column:])], dim=1)

    handle = blocks(model)[hook.layer].register_forward_hook(replaced)
    try:
        yield
    finally:
        handle.remove()
