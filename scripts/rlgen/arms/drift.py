"""How far an arm has moved from the reference, on texts that the reference wrote.

Forward KL, KL(reference || arm) per token, on the prompts of the trained task is what arXiv 2509.04259 says predicts
forgetting. Beside it stands the displacement of the residual stream, and its mean: the arm's shift. Where the study
watches a procedure's set, the change of every latent's mean readout, too.

Shapes: B texts, T positions, d width, S latents.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.activations.forced import Forced
from rlgen.arms.readouts import Reader
from rlgen.behaviour.continuations import Ids, encode, prompts_of
from rlgen.models.generation import Limits, generate
from rlgen.models.head import output_head
from rlgen.models.logprobs import mean_kl
from rlgen.models.passes import Padding, passes, tokens_per_pass
from rlgen.models.residual import residual_stream
from rlgen.seeds import stream_seed
from rlgen.tasks.samples import Sample

TEXTS_PER_PASS = 64


@dataclass(frozen=True)
class Text:
    """One text that the reference wrote: tokens of the prompt and of what follows."""

    task: str
    role: str
    prompt: Ids
    completion: Ids


def reference_texts(
    reference: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    samples: Sequence[Sample],
    per_task: int,
    max_new_tokens: int,
    seed: int,
) -> list[Text]:
    """One temperature-1 completion for the first `per_task` discovery prompts of every task."""
    texts, limits = [], Limits.of(tokenizer, max_new_tokens)
    for task in dict.fromkeys(sample.task for sample in samples):
        chosen = [s for s in samples if s.task == task and s.half == "discovery"][:per_task]
        ids = [encode(tokenizer, s.prompt) for s in chosen]
        generator = torch.Generator(reference.device).manual_seed(stream_seed(seed, "arms", task))
        for first in range(0, len(ids), TEXTS_PER_PASS):
            prompts = prompts_of(ids[first : first + TEXTS_PER_PASS], reference.device)
            new_BN = generate(reference, prompts, limits, temperature=1.0, generator=generator)
            for sample, prompt, new_N in zip(chosen[first:], ids[first:], new_BN, strict=False):
                texts.append(Text(task, sample.role, prompt, _until(new_N.tolist(), limits.eos_id)))
    return texts


def _until(ids: Ids, end: int) -> Ids:
    """Up to the end of sequence, and with it: what comes after is padding."""
    return ids[: ids.index(end) + 1] if end in ids else ids


def drift(
    reference: PreTrainedModel, arm: PreTrainedModel, texts: Sequence[Text], layer: int, reader: Reader | None = None
) -> pd.DataFrame:
    """One row per task: KL(reference || arm) per token, displacement and norm of the stream, and the mean shift.

    `kl`: nats, mean over texts of the mean over their tokens. `displacement`: mean over positions of
    ||h_arm - h_reference||_2 after block `layer`; `norm`: of ||h_reference||_2. `shift`: mean of h_arm - h_reference,
    a list of d numbers. `readout`, with a `reader`: mean change of every latent's readout, a list of S numbers.
    Positions are those that predict the text's tokens, the end of sequence among them.
    """
    batches = _passes(texts, reference.device)
    found = [part for places in batches for part in _read(reference, arm, texts, places, layer, reader)]
    rows = []
    for task in dict.fromkeys(text.task for text in texts):
        mine = [part for part in found if part.task == task]
        shift_Nd = torch.cat([part.shift_Td for part in mine])
        norm_N = torch.cat([part.norm_T for part in mine])
        changes = [part.readout_S for part in mine if part.readout_S is not None]
        read = {"readout": (torch.stack(changes).sum(0) / len(norm_N)).tolist()} if changes else {}
        rows.append(
            {
                "task": task,
                "role": next(text.role for text in texts if text.task == task),
                "texts": len(mine),
                "tokens": len(norm_N),
                "kl": float(np.mean([part.kl for part in mine])),
                "displacement": shift_Nd.norm(dim=1).mean().item(),
                "norm": norm_N.mean().item(),
                "shift": shift_Nd.mean(0).tolist(),
            }
            | read
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Part:
    """What one text says."""

    task: str
    kl: float
    shift_Td: torch.Tensor  # at its completion's positions
    norm_T: torch.Tensor
    readout_S: torch.Tensor | None  # sum over these positions of each latent's change


def _passes(texts: Sequence[Text], device: torch.device) -> Iterator[list[int]]:
    """Places of texts that one forward pass reads, with little padding."""
    lengths, padding = [len(text.prompt) + len(text.completion) for text in texts], Padding("texts")
    for places in passes(lengths, tokens_per_pass(device), TEXTS_PER_PASS):
        padding.see([lengths[i] for i in places])
        yield list(places)
    padding.tell()


def _read(
    reference: PreTrainedModel,
    arm: PreTrainedModel,
    texts: Sequence[Text],
    places: list[int],
    layer: int,
    reader: Reader | None,
) -> Iterator[_Part]:
    forced = Forced.of([(texts[i].prompt, texts[i].completion) for i in places])
    mask_BT = forced.predicting_BT
    hidden = [_hidden(model, forced.ids_BT) for model in (reference, arm)]
    kl_B = mean_kl(output_head(reference), hidden[0], output_head(arm), hidden[1], mask_BT.to(hidden[0].device))
    before_BTd, after_BTd = (residual_stream(model, forced.ids_BT, layer).float() for model in (reference, arm))
    for row, place in enumerate(places):
        before_Td, after_Td = (stream_BTd[row][mask_BT[row]] for stream_BTd in (before_BTd, after_BTd))
        change_S = reader.change(before_Td, after_Td) if reader else None
        yield _Part(texts[place].task, kl_B[row].item(), after_Td - before_Td, before_Td.norm(dim=1), change_S)


@torch.inference_mode()
def _hidden(model: PreTrainedModel, ids_BT: torch.Tensor) -> torch.Tensor:
    """Final hidden states (B, T, d); attention is causal, so that padding after a text reaches none of it."""
    return model.model(input_ids=ids_BT.to(model.device), use_cache=False).last_hidden_state
