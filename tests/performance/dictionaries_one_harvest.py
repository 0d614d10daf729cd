"""Two pairs and the triple on one harvest, through shards on disk, against the harvest and the trainings alone.

Ours writes every model's shards once and trains each dictionary from them: hashing, reading, statistics and shuffling
included. The peer writes nothing: it harvests into memory and trains on rows that are already in one piece, normalised
and in order. One epoch, in which every row read is used once, is the hardest case for reading.

    PYTHONPATH=scripts python tests/performance/dictionaries_one_harvest.py
"""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import torch
from measure import Measurement

from rlgen.activations.harvest import harvest, harvest_to
from rlgen.activations.settings import OrganismStream
from rlgen.activations.shards import Shards
from rlgen.activations.stream import TokenStream
from rlgen.dictionaries.settings import Recipe
from rlgen.dictionaries.step import Training
from rlgen.dictionaries.training import finished, train
from rlgen.organism import families, tokenizer
from rlgen.organism.pretraining import new_model
from rlgen.organism.settings import Architecture

D, S, B, K = 1024, 8192, 512, 32
THREADS, STEPS, LENGTH, LAYER, REPETITIONS = 2, 8, 64, 0, 5
STATES = ["base@1", "sft@5", "rl@5"]
DICTIONARIES = [["base@1", "sft@5"], ["base@1", "rl@5"], ["base@1", "sft@5", "rl@5"]]
RECIPE = Recipe(latents=S, k=K, batch_rows=B, steps=STEPS)
STREAM = OrganismStream(sampled_models=[], rows=(STEPS + 4) * B, shard_rows=4 * B, layer=LAYER)


def token_stream(vocabulary: int) -> TokenStream:
    """As many random tokens as the harvest has rows."""
    ids_NT = torch.randint(vocabulary, (STREAM.rows // LENGTH, LENGTH), generator=torch.Generator().manual_seed(0))
    return TokenStream(ids_NT.int(), torch.full((len(ids_NT),), LENGTH), torch.ones_like(ids_NT, dtype=torch.bool))


def through_shards(models: list[torch.nn.Module], stream: TokenStream, root: Path) -> dict[str, float]:
    """Seconds of the harvest and of the trainings."""
    started = time.perf_counter()
    for state, model in zip(STATES, models, strict=True):
        harvest_to(root / state, model, state, stream, STREAM)
    harvested = time.perf_counter()
    for members in DICTIONARIES:
        train(Shards.open([root / state for state in members], members), RECIPE, 0, STREAM.held_out_shards)
    return {"harvest": harvested - started, "train": time.perf_counter() - harvested}


def in_memory(models: list[torch.nn.Module], stream: TokenStream) -> dict[str, float]:
    """The same, with nothing but the models' and the trainings' own arithmetic in the seconds."""
    started, rows = time.perf_counter(), {state: [] for state in STATES}
    for state, model in zip(STATES, models, strict=True):
        harvest(
            model, stream, LAYER, STREAM.rows, STREAM.shard_rows, lambda _, h_Nd, *__, s=state: rows[s].append(h_Nd)
        )
    seconds = {"harvest": time.perf_counter() - started, "train": 0.0}
    for members in DICTIONARIES:
        rows_NMd = torch.stack([torch.cat(rows[state])[: STEPS * B] for state in members], dim=1)
        mean_Md, scale_M = rows_NMd.mean(0), rows_NMd.std((0, 2))
        batches = ((rows_NMd - mean_Md) / scale_M[:, None]).split(B)
        started = time.perf_counter()
        training = Training.start(RECIPE, len(members), D, 0, "cpu")
        for rows_BMd in batches:
            training.advance(rows_BMd)
        finished(training, members)
        seconds["train"] += time.perf_counter() - started
    return seconds


def measurements() -> list[Measurement]:
    """One row; the note says where the time goes."""
    torch.set_num_threads(THREADS)
    words = tokenizer.build(families.vocabulary(["add"]), families.BOS, families.EOS, families.PAD)
    sizes = Architecture(hidden_size=D, layers=1, heads=8, head_dim=64, intermediate_size=1024)
    models = [new_model(sizes, words, seed).eval() for seed in range(3)]
    stream, ours, peers = token_stream(len(words)), [], []
    for _ in range(REPETITIONS):
        root = Path(tempfile.mkdtemp())
        try:
            ours.append(through_shards(models, stream, root))
        finally:
            shutil.rmtree(root)
        peers.append(in_memory(models, stream))
    parts = {
        f"{part} {name}": statistics.median(seconds[part] for seconds in all_seconds)
        for name, all_seconds in {"with shards": ours, "alone": peers}.items()
        for part in ("harvest", "train")
    }
    written = sum(parts.values()) - parts["harvest alone"] - parts["train with shards"]
    all_ours = parts["harvest with shards"] + parts["train with shards"]
    return [
        Measurement(
            work=f"two pairs and the triple from one harvest, d={D}, S={S}, B={B}, k={K}, {STEPS} steps each",
            peer="harvest into memory and the three trainings on normalised rows in memory",
            ours=statistics.median(sum(seconds.values()) for seconds in ours),
            peers=statistics.median(sum(seconds.values()) for seconds in peers),
            unit="s",
            target="<= 1.1",
            repetitions=REPETITIONS,
            note=", ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.items())
            + f"; {all_ours / written:.3f} against a harvest that writes its shards and the trainings alone",
        )
    ]


if __name__ == "__main__":
    for row in measurements():
        print(row, f"ratio {row.ratio:.3f}")
