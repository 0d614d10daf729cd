"""Harvest of three models, shards with checksums written, against the bare forward and transformer_lens."""

import copy
import shutil
import tempfile
from pathlib import Path

import organism
import torch
from measure import Measurement, medians

from rlgen.activations.harvest import harvest_to, sequences_of
from rlgen.activations.settings import OrganismStream
from rlgen.models.residual import stopped_at

MODELS, ROWS, REPETITIONS = 3, 16384, 5
STREAM = OrganismStream(sampled_models=[], rows=ROWS, shard_rows=ROWS // 2, layer=organism.LAYER)


def measurements() -> list[Measurement]:
    """Two rows; tokens of sequences count, padding does not."""
    models = [copy.deepcopy(organism.model()) for _ in range(MODELS)]
    bridges = [organism.bridge(model) for model in models]
    stream = organism.token_stream(ROWS)
    chosen = [sequences_of(stream, i * STREAM.shard_rows, STREAM.shard_rows)[0] for i in range(STREAM.shards)]
    batches = [batch for chosen_K in chosen for batch in stream.passes(models[0].device, chosen_K)]
    tokens = MODELS * sum(int(stream.lengths_N[sequences_B].sum()) for sequences_B, _ in batches)
    name = f"blocks.{STREAM.layer}.hook_resid_post"

    def ours() -> None:
        root = Path(tempfile.mkdtemp())
        try:
            for number, model in enumerate(models):
                harvest_to(root / str(number), model, f"m{number}@1", stream, STREAM)
        finally:
            shutil.rmtree(root)

    @torch.inference_mode()
    def bare() -> None:
        for model in models:
            with stopped_at(model, STREAM.layer) as body:
                for _, ids_BT in batches:
                    body(input_ids=ids_BT, use_cache=False)

    @torch.inference_mode()
    def lens() -> None:
        for bridged in bridges:
            for _, ids_BT in batches:
                bridged.run_with_cache(ids_BT, names_filter=name, stop_at_layer=STREAM.layer + 1)

    ours_s, bare_s, lens_s = medians(ours, bare, lens, repetitions=REPETITIONS)
    work = f"harvest of {MODELS} models to block {STREAM.layer} of 4, d=64, {ROWS} rows each, shards written"
    peers = {
        "bare forward to that block on the same batches": (bare_s, ">= 0.9"),
        "transformer_lens run_with_cache, stopped at that block, same batches, nothing written": (lens_s, ">= 2.0"),
    }
    return [
        Measurement(work, peer, tokens / ours_s, tokens / seconds, "tokens/s", target, REPETITIONS)
        for peer, (seconds, target) in peers.items()
    ]
