"""Training dictionaries of the paper's size on a GPU: tokens per second, share of the stated peak, memory, hours.

bfloat16 activations and products, float32 weights and moments. Batches come from page-locked memory, as in
`rlgen.dictionaries.training`. Where no GPU is visible the rows say that nothing was run.

    PYTHONPATH=scripts python tests/performance/gpu_dictionaries.py
"""

import math
import statistics
import time

import torch
from measure import Measurement

from rlgen.dictionaries.settings import Recipe
from rlgen.dictionaries.step import Training

MEMBERS, D = 3, 2560
RECIPES = {
    objective: Recipe(objective=objective, latents=32768, k=50, batch_rows=4096, precision="bfloat16", steps=400_000)
    for objective in ("batchtopk", "l1")
}
STEPS, REPETITIONS, TOKENS = 20, 5, 400e6
# Dense bfloat16 FLOP/s that the makers' data sheets state, by torch's name of the device; others are not known here.
PEAK = {
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
}


def measurements() -> list[Measurement]:
    """One row per objective; the ratio is the share of the stated peak, NaN where that or the GPU is not there."""
    if not torch.cuda.is_available():
        return [not_run(objective) for objective in RECIPES]
    return [measure(recipe, MEMBERS, D, torch.device("cuda"), STEPS) for recipe in RECIPES.values()]


def measure(recipe: Recipe, members: int, d: int, device: torch.device, steps: int) -> Measurement:
    """Median over repetitions of `steps` steps, after as many that are not counted."""
    cuda = device.type == "cuda"
    training = Training.start(recipe, members, d, 0, device)
    shape, generator = (recipe.batch_rows, members, d), torch.Generator().manual_seed(0)
    batches = [torch.randn(shape, generator=generator).to(getattr(torch, recipe.precision)) for _ in range(2)]
    batches = [rows_BMd.pin_memory() if cuda else rows_BMd for rows_BMd in batches]
    rates = []
    for _ in range(1 + REPETITIONS):
        started = time.perf_counter()
        for step in range(steps):
            training.advance(batches[step % 2].to(device, non_blocking=True))
        if cuda:
            torch.cuda.synchronize()
        rates.append(steps * recipe.batch_rows / (time.perf_counter() - started))
    rate, name = statistics.median(rates[1:]), torch.cuda.get_device_name(device) if cuda else "cpu"
    flop = 5 * 2 * recipe.latents * members * d  # per row: the five dense products of a step
    memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB, " if cuda else ""
    return Measurement(
        work=work(recipe.objective, recipe, members, d),
        peer=f"five dense products at the stated peak of {name}" if name in PEAK else f"{name}: peak not known",
        ours=rate,
        peers=PEAK.get(name, math.nan) / flop,
        unit="tokens/s",
        target=">= 0.0",
        repetitions=REPETITIONS,
        note=f"{memory}{TOKENS:.0e} tokens in {TOKENS / rate / 3600:.1f} h; nothing but measured, no target",
    )


def not_run(objective: str) -> Measurement:
    """The row of a benchmark for which there was no GPU."""
    return Measurement(
        work=work(objective, RECIPES[objective], MEMBERS, D),
        peer="stated peak of the GPU",
        ours=math.nan,
        peers=math.nan,
        unit="tokens/s",
        target=">= 0.0",
        repetitions=0,
        note="NOT RUN: no GPU is visible",
    )


def work(objective: str, recipe: Recipe, members: int, d: int) -> str:
    """The sizes in words."""
    k = "" if objective == "l1" else f", k={recipe.k}"
    return f"training on a GPU, {objective}, M={members}, d={d}, S={recipe.latents}, B={recipe.batch_rows}{k}, bfloat16"


if __name__ == "__main__":
    for row in measurements():
        print(row)
