"""Models forced on given texts after their prompts: sequences padded on the right, and which positions predict what.

Attention is causal, so padding after a sequence cannot reach its positions and no mask is needed.

Shapes: B sequences, T positions.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedTokenizerFast

from rlgen.models.passes import padded
from rlgen.tasks.samples import Sample

Ids = list[int]
Encode = Callable[[PreTrainedTokenizerFast, Sample, str], tuple[Ids, Ids]]  # tokens of prompt and text


def apart(tokenizer: PreTrainedTokenizerFast, sample: Sample, text: str) -> tuple[Ids, Ids]:
    """Tokens of a sample's prompt and of a text after it, each on its own: for words that are tokens."""
    return tokenizer(sample.prompt)["input_ids"], tokenizer(text, add_special_tokens=False)["input_ids"]


class Forced(NamedTuple):
    """Sequences of a prompt and a text each."""

    ids_BT: torch.Tensor
    start_B: torch.Tensor  # position of the prompt's last token, which predicts the text's first
    length_B: torch.Tensor  # tokens of the text

    @classmethod
    def of(cls, pairs: Sequence[tuple[Ids, Ids]]) -> "Forced":
        """Pairs of prompt and text."""
        return cls(
            padded([prompt + text for prompt, text in pairs]),
            torch.tensor([len(prompt) - 1 for prompt, _ in pairs]),
            torch.tensor([len(text) for _, text in pairs]),
        )

    def to(self, device: torch.device | str) -> "Forced":
        """The same sequences on a device."""
        return Forced(*(x.to(device) for x in self))

    @property
    def completion_BT(self) -> torch.Tensor:
        """From the prompt's last token to the text's last: one position more than the text has tokens."""
        return self._from_start(self.length_B)

    @property
    def predicting_BT(self) -> torch.Tensor:
        """Positions that predict the text's tokens."""
        return self._from_start(self.length_B - 1)

    def _from_start(self, last_B: torch.Tensor) -> torch.Tensor:
        place_BT = torch.arange(self.ids_BT.shape[1], device=self.ids_BT.device) - self.start_B[:, None]
        return (place_BT >= 0) & (place_BT <= last_B[:, None])
