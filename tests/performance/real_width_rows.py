"""The width of a real language model, SmolLM2-135M with random weights, on texts of mixed length.

Seconds are those of processors, all threads together: the machine may be shared.

    PYTHONPATH=scripts python tests/performance/real_width_rows.py
"""

import shutil
import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from measure import Measurement, medians
from transformers import LlamaConfig, LlamaForCausalLM

from rlgen.activations.harvest import harvest_to
from rlgen.activations.settings import Harvested
from rlgen.activations.stream import TokenStream, assemble
from rlgen.models.passes import tokens_per_pass
from rlgen.models.residual import stopped_at

WIDTH, LAYER, VOCABULARY = 576, 14, 49152
ROWS, SHARD_ROWS, REPETITIONS = 16384, 4096, 3
SHORTEST, MEAN, LONGEST = 2, 41, 256  # tokens of a sequence


@cache
def model() -> LlamaForCausalLM:
    """SmolLM2-135M's architecture, the blocks after the one that is read left out."""
    torch.manual_seed(0)
    sizes = {"num_attention_heads": WIDTH // 64, "num_key_value_heads": max(1, WIDTH // 192), "head_dim": 64}
    config = LlamaConfig(
        hidden_size=WIDTH,
        intermediate_size=WIDTH * 8 // 3,
        num_hidden_layers=LAYER + 1,
        vocab_size=VOCABULARY,
        tie_word_embeddings=True,
        **sizes,
    )
    return LlamaForCausalLM(config).eval()


def mixed_stream(rows: int) -> TokenStream:
    """Random tokens in sequences of SHORTEST to LONGEST tokens, most of them short, at least so many rows."""
    rng, sequences, found = np.random.default_rng(0), [], 0
    while found < rows:
        length = int(np.clip(SHORTEST + rng.exponential(MEAN - SHORTEST), SHORTEST, LONGEST))
        sequences.append((rng.integers(1, VOCABULARY, length), np.arange(length) > 0))
        found += length - 1
    return assemble(sequences, 0, rng, mixed_lengths=True)


def harvest_of_mixed_length() -> Measurement:
    """Against the same number of tokens in sequences of one length: what a harvest without any padding would take."""
    settings = Harvested(layer=LAYER, rows=ROWS, shard_rows=SHARD_ROWS)
    stream, found = mixed_stream(ROWS), model()
    whole_batches = replace(stream, mixed_lengths=False)
    tokens = int(stream.lengths_N.sum())
    ids_NT = torch.randint(1, VOCABULARY, (tokens // MEAN, MEAN), generator=torch.Generator().manual_seed(0))

    def ours(stream: TokenStream = stream) -> None:
        root = Path(tempfile.mkdtemp())
        try:
            harvest_to(root, found, "m@1", stream, settings)
        finally:
            shutil.rmtree(root)

    @torch.inference_mode()
    def bare() -> None:
        with stopped_at(found, LAYER) as body:
            for ids_BT in ids_NT.split(tokens_per_pass(found.device) // MEAN):
                body(input_ids=ids_BT, use_cache=False)

    ours_s, bare_s = medians(ours, bare, repetitions=REPETITIONS, warmup=0, clock=time.process_time)
    before_s = medians(lambda: ours(whole_batches), repetitions=1, warmup=0, clock=time.process_time)[0]
    return Measurement(
        f"harvest of sequences of {SHORTEST}-{LONGEST} tokens, mean {tokens / len(stream.lengths_N):.0f}, "
        f"to block {LAYER}, d={WIDTH}, {ROWS} rows, shards written",
        f"bare forward of as many tokens in sequences of {MEAN}, nothing padded",
        *(tokens / ours_s, tokens / bare_s, "tokens/s", ">= 0.9", REPETITIONS),
        note=f"processor time; in whole batches of each shard {tokens / before_s:.4g} tokens/s (once)",
    )


def measurements() -> list[Measurement]:
    """One row."""
    return [harvest_of_mixed_length()]


if __name__ == "__main__":
    torch.set_num_threads(1)
    for row in measurements():
        print(row, f"ratio {row.ratio:.3f}")
