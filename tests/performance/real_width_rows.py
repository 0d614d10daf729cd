"""The size of a real language model, SmolLM2-135M with random weights: mixed lengths, edits, shipped tasks.

Seconds are those of processors, all threads together: the machine may be shared.

    PYTHONPATH=scripts python tests/performance/real_width_rows.py
"""

import shutil
import sys
import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "stand_ins"))

import numpy as np
import torch
from generation_rows import FEATURES, edits
from measure import Measurement, medians
from transformers import LlamaConfig, LlamaForCausalLM

from rlgen.activations.harvest import harvest_to
from rlgen.activations.settings import Harvested
from rlgen.activations.stream import TokenStream, assemble
from rlgen.behaviour.benchmarks import BenchmarkEvaluator
from rlgen.behaviour.continuations import prompts_of
from rlgen.behaviour.lm_eval import hf_backend
from rlgen.models.generation import Limits, generate
from rlgen.models.hooks import Hook
from rlgen.models.passes import tokens_per_pass
from rlgen.models.residual import residual_stream, stopped_at

WIDTH, BLOCKS, LAYER, VOCABULARY = 576, 30, 14, 49152
ROWS, SHARD_ROWS, REPETITIONS = 16384, 4096, 3
SHORTEST, MEAN, LONGEST = 2, 41, 256  # tokens of a sequence
PROMPTS, NEW = 32, 16
TASKS, PER_HALF, BATCH = ("arc_challenge", "openbookqa", "hendrycks_math500"), 5, 32
SOLUTION = 12  # tokens, as `made` tells lm-eval


@cache
def model(vocabulary: int) -> LlamaForCausalLM:
    """SmolLM2-135M's architecture."""
    torch.manual_seed(0)
    sizes = {"num_attention_heads": WIDTH // 64, "num_key_value_heads": max(1, WIDTH // 192), "head_dim": 64}
    config = LlamaConfig(
        hidden_size=WIDTH,
        intermediate_size=WIDTH * 8 // 3,
        num_hidden_layers=BLOCKS,
        vocab_size=vocabulary,
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
    stream, found = mixed_stream(ROWS), model(VOCABULARY)
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
        f"to block {LAYER} of {BLOCKS}, d={WIDTH}, {ROWS} rows, shards written",
        f"bare forward of as many tokens in sequences of {MEAN}, nothing padded",
        *(tokens / ours_s, tokens / bare_s, "tokens/s", ">= 0.9", REPETITIONS),
        note=f"processor time; in whole batches of each shard {tokens / before_s:.4g} tokens/s (once)",
    )


def edited_generation() -> list[Measurement]:
    """Prompts of mixed length, their own prefix included; one set of features at one dose."""
    found, rng = model(VOCABULARY), np.random.default_rng(1)
    rows = [rng.integers(1, VOCABULARY, n).tolist() for n in rng.integers(MEAN // 2, 2 * MEAN, PROMPTS)]
    prompts, limits = prompts_of(rows), Limits(NEW, -1, 0)
    change = edits(residual_stream(found, torch.cat([torch.tensor(ids) for ids in rows])[None], LAYER)[0], 1, [1.0]).on(
        "cpu"
    )
    hook = Hook(change, LAYER, which_B=torch.zeros(PROMPTS, dtype=torch.long))
    plain = {"do_sample": False, "max_new_tokens": NEW, "pad_token_id": 0, "eos_token_id": None}
    edited_s, unedited_s, theirs_s = medians(
        lambda: generate(found, prompts, limits, hook),
        lambda: generate(found, prompts, limits),
        lambda: found.generate(input_ids=prompts.ids_BP, attention_mask=prompts.attention_BP, **plain),
        repetitions=REPETITIONS,
        warmup=0,
        clock=time.process_time,
    )
    work = (
        f"generation under an edit of {FEATURES} features, {PROMPTS} prompts x {NEW} tokens, d={WIDTH}, {BLOCKS} blocks"
    )
    peers = {"the same without an edit": unedited_s, "generate of transformers, unedited": theirs_s}
    return [
        Measurement(work, peer, edited_s, peer_s, "s", "<= 1.15", REPETITIONS, "processor time")
        for peer, peer_s in peers.items()
    ]


def scored_tasks() -> Measurement:
    """Choices and short solutions, from a loaded model on; lm-eval's own loop over the same documents."""
    import lm_eval
    from benchmark_models import made, tokenizer_of

    tokenizer = tokenizer_of("llama")
    found = model(len(tokenizer))
    with tempfile.TemporaryDirectory() as root:
        tasks = [made(name, Path(root), PER_HALF)[1] for name in TASKS]
    samples = sum(len(task.samples) for task in tasks)
    backend = hf_backend(found, tokenizer, BATCH)

    def ours() -> None:
        BenchmarkEvaluator(tasks, tokenizer, BATCH, SOLUTION, SOLUTION).score(found)

    def theirs() -> None:
        lm_eval.evaluate(backend, {"tasks": {task.name: task.task for task in tasks}}, bootstrap_iters=0)

    ours_s, theirs_s = medians(ours, theirs, repetitions=REPETITIONS, warmup=1, clock=time.process_time)
    return Measurement(
        f"{samples} samples of {', '.join(TASKS)}, scored, d={WIDTH}, {BLOCKS} blocks",
        "lm_eval.evaluate with its transformers backend",
        *(samples / ours_s, samples / theirs_s, "samples/s", ">= 1.0", REPETITIONS),
        note="processor time; ours reads the right answer's log-probability, too",
    )


def measurements() -> list[Measurement]:
    """Four rows."""
    return [harvest_of_mixed_length(), *edited_generation(), scored_tasks()]


if __name__ == "__main__":
    torch.set_num_threads(1)
    for row in measurements():
        print(row, f"ratio {row.ratio:.3f}")
