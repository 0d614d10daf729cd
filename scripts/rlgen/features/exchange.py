"""Exchanging latents in one model towards another, both forced on texts: distance and slopes, in bounded memory.

The running model's stream h at one block becomes h + a * sum_k g_k f_k(h) (d_k^goal - d_k^running), with f_k its
one-sided readout, d_k the decoders in raw units, g_k a gate per latent and a a scale per sample. The change is made in
float32 whatever the model's type. Nothing below the block is differentiated, and what lies above is differentiated by
the stream alone: slopes by gates follow from one product, so that their number costs nothing.

Shapes: I samples, B of them in a batch, W variants of the edit side by side, T positions, N edited positions of a
batch, S latents, F of them in the pool, d width of the residual stream.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from rlgen.activations.forced import Forced, Ids
from rlgen.dictionaries.crosscoder import ENDS, Crosscoder
from rlgen.models.hooks import Hook, edited
from rlgen.models.logprobs import kl_and_slope
from rlgen.models.passes import Padding, passes, tokens_per_pass
from rlgen.models.residual import sequences_per_pass
from rlgen.names import Readout

ROWS_PER_PRODUCT = 4096  # rows whose codes stand in memory together
MOST_SEQUENCES = 256


@dataclass(frozen=True)
class Exchange:
    """What exchanging the latents `pool_F` adds to the stream of the reference (running 0) or the tuned model (1)."""

    crosscoder: Crosscoder
    running: int
    readout: Readout
    pool_F: torch.Tensor

    @cached_property
    def direction_Fd(self) -> torch.Tensor:
        """What one unit of a latent's activation adds, raw units."""
        raw_FMd = self.crosscoder.decoder_raw_SMd[self.pool_F]
        return raw_FMd[:, ENDS[1 - self.running]] - raw_FMd[:, ENDS[self.running]]

    def code(self, h_Nd: torch.Tensor) -> torch.Tensor:
        """One-sided readout of the pool's latents (N, F)."""
        h_Nd = h_Nd.to(torch.promote_types(h_Nd.dtype, torch.float32))
        return self.crosscoder.encode_one(h_Nd, ENDS[self.running], self.readout)[:, self.pool_F]

    def change(self, h_Nd: torch.Tensor, gate_F: torch.Tensor) -> torch.Tensor:
        """sum_F g_k f_k(h) (d_k^goal - d_k^running), (N, d)."""
        return torch.cat(
            [self.code(part) @ (gate_F[:, None] * self.direction_Fd) for part in h_Nd.split(ROWS_PER_PRODUCT)]
        )

    def pull(self, h_Nd: torch.Tensor, slope_Nd: torch.Tensor, row_N: torch.Tensor, rows: int) -> torch.Tensor:
        """sum over a row's positions of f_k(h) <slope, d_k^goal - d_k^running>: its slope by the gates, (rows, F)."""
        found = torch.zeros(rows, len(self.pool_F), dtype=self.direction_Fd.dtype, device=h_Nd.device)
        parts = (x.split(ROWS_PER_PRODUCT) for x in (h_Nd, slope_Nd, row_N))
        for h_Pd, slope_Pd, row_P in zip(*parts, strict=True):
            found.index_add_(0, row_P, self.code(h_Pd) * (slope_Pd.to(found) @ self.direction_Fd.T))
        return found


class Outcome(NamedTuple):
    """One batch under W variants of the edit."""

    kl_WB: torch.Tensor  # mean over a text's tokens of KL(goal || edited), nats
    h_Nd: torch.Tensor  # the running model's own stream at the edited positions
    row_N: torch.Tensor  # their places in the batch
    slope_WNd: torch.Tensor | None  # of a sample's kl by its edited stream


class Pair:
    """A running model and the model whose behaviour is to be reached, on that one's texts after I prompts."""

    def __init__(
        self,
        running: PreTrainedModel,
        goal: PreTrainedModel,
        layer: int,
        everywhere: bool,
        texts: Sequence[tuple[Ids, Ids]],
        batch_size: int | None = None,
    ) -> None:
        """With a `batch_size`, texts are of mixed length and read in passes of so many at most, with little padding."""
        self.running, self.goal, self.layer, self.everywhere = running, goal, layer, everywhere
        self.texts, self.batch_size = list(texts), batch_size
        self._goal_hidden: dict[int, torch.Tensor] = {}

    def batches(self, samples: Sequence[int], variants: int) -> Iterator[list[int]]:
        """The samples in batches of about the same length, a bounded number of tokens in all variants together."""
        length_I, padding = [sum(map(len, self.texts[i])) for i in samples], Padding("texts under an exchange")
        for places in self._places(length_I, variants):
            padding.see([length_I[place] for place in places])
            yield [samples[place] for place in places]
        padding.tell()

    def _places(self, length_I: list[int], variants: int) -> Iterator[list[int]]:
        if self.batch_size is not None:
            yield from passes(length_I, tokens_per_pass(self.running.device) // variants, self.batch_size)
            return
        order = sorted(range(len(length_I)), key=lambda place: length_I[place], reverse=True)
        while order:
            size = sequences_per_pass(length_I[order[0]] * variants, MOST_SEQUENCES)
            yield order[:size]
            order = order[size:]

    def run(
        self, samples: Sequence[int], exchange: Exchange, gate_F: torch.Tensor, scale_WB: torch.Tensor, slopes: bool
    ) -> Outcome:
        """KL of one batch under the exchange with these gates, once per variant of its scale; slopes where asked."""
        forced = Forced.of([self.texts[i] for i in samples]).to(self.running.device)
        column_T = torch.arange(forced.ids_BT.shape[1], device=forced.ids_BT.device)
        edited_BT = forced.completion_BT
        if self.everywhere:  # but for the first token, as in `Hook`
            last_B1 = (forced.start_B + forced.length_B)[:, None]
            edited_BT = edited_BT | ((column_T > 0) & (column_T <= last_B1))
        row_N = edited_BT.nonzero(as_tuple=True)[0]
        kept = {}

        def expand(h_BTd: torch.Tensor) -> torch.Tensor:
            kept["h"] = h_BTd[edited_BT]
            change_Nd = exchange.change(kept["h"], gate_F)
            h_WBTd = h_BTd.expand(len(scale_WB), *h_BTd.shape).clone()
            for h_wBTd, scale_B in zip(h_WBTd, scale_WB, strict=True):
                h_wBTd[edited_BT] += (scale_B[row_N, None] * change_Nd).to(h_BTd.dtype)
            kept["leaf"] = h_WBTd.flatten(0, 1).requires_grad_(slopes)
            return kept["leaf"]

        with torch.set_grad_enabled(slopes), edited(self.running, Hook(expand, self.layer)):
            hidden = self.running.model(input_ids=forced.ids_BT, use_cache=False).last_hidden_state
        goal_BTd, mask_BT = self._goal_states(samples, forced), forced.predicting_BT
        parts = [
            kl_and_slope(self.goal.lm_head, goal_BTd, self.running.lm_head, hidden_BTd.detach(), mask_BT)
            for hidden_BTd in hidden.unflatten(0, (len(scale_WB), -1))
        ]
        kl_WB, slope_WNd = torch.stack([kl_B for kl_B, _ in parts]), None
        if slopes:
            (slope,) = torch.autograd.grad(hidden, kept["leaf"], torch.cat([slope_BTd for _, slope_BTd in parts]))
            slope_WNd = slope.unflatten(0, (len(scale_WB), -1))[:, edited_BT]
        return Outcome(kl_WB, kept["h"], row_N, slope_WNd)

    @torch.no_grad()
    def _goal_states(self, samples: Sequence[int], forced: Forced) -> torch.Tensor:
        """The goal's final hidden states on its texts (B, T, d), computed once and kept on the CPU."""
        if any(i not in self._goal_hidden for i in samples):
            hidden_BTd = self.goal.model(input_ids=forced.ids_BT, use_cache=False).last_hidden_state
            self._goal_hidden |= {
                i: h_Td[: sum(map(len, self.texts[i]))].cpu() for i, h_Td in zip(samples, hidden_BTd, strict=True)
            }
        states = [self._goal_hidden[i] for i in samples]
        return torch.nn.utils.rnn.pad_sequence(states, batch_first=True).to(forced.ids_BT.device)
