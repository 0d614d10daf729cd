"""A model's own output head: whatever its class makes of final hidden states, not the matrix alone.

Some classes divide or multiply logits (Granite, Cohere), some cap them softly (Gemma 2): to know them all would mean to
repeat transformers. So the class's own forward runs, with a body that hands on what it is given.
"""

import copy
from collections.abc import Callable

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import MoeModelOutputWithPast

Head = Callable[[torch.Tensor], torch.Tensor]  # final hidden states (..., d) -> logits (..., V)


class _Given(torch.nn.Module):
    """Stands in for a model's blocks: what they would have made is handed in."""

    def forward(self, *_: object, inputs_embeds: torch.Tensor, **__: object) -> MoeModelOutputWithPast:
        return MoeModelOutputWithPast(last_hidden_state=inputs_embeds)


def output_head(model: PreTrainedModel) -> Head:
    """The head alone: it shares the model's weights and holds none of its blocks, so that the model can be let go."""
    own = copy.copy(model)
    own._modules = {**model._modules, "model": _Given()}

    def logits(hidden: torch.Tensor) -> torch.Tensor:
        batch_BTd = hidden if hidden.dim() == 3 else hidden[None]
        found_BTV = own(inputs_embeds=batch_BTd, use_cache=False).logits
        return found_BTV if hidden.dim() == 3 else found_BTV[0]

    return logits
