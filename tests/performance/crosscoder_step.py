"""The training step of the crosscoder against its dense products and against sae-lens, optimiser included.

Both train on the same rows of normal numbers (B, M*d), with Adam in float32. For L1 that is the hardest case: half of
all values are positive. The peer is sae-lens' own trainer (`SAETrainer.step`) on concatenated activations: its
BatchTopK weighs by the norm of a latent's whole decoder row where ours adds the members' norms, and it clips gradients.

    PYTHONPATH=scripts python tests/performance/crosscoder_step.py
"""

from collections.abc import Callable, Iterator
from itertools import cycle

import torch
from measure import REPETITIONS, Measurement, medians

from rlgen.dictionaries.settings import Recipe
from rlgen.dictionaries.step import Training

THREADS, RATE, L1 = 2, 1e-4, 2.0
SIZES = {  # name: (M, d, S, B, k, target of BatchTopK against the encoder product, against sae-lens)
    "M=3, d=128, S=2048, B=1024, k=16": (3, 128, 2048, 1024, 16, "<= 2.0", "<= 0.18"),
    "M=3, d=1024, S=8192, B=512, k=32": (3, 1024, 8192, 512, 32, "<= 2.2", "<= 0.2"),
}


def measurements() -> list[Measurement]:
    """The rows of the benchmark."""
    torch.set_num_threads(THREADS)
    return [row for size in SIZES for row in (*batchtopk(size), *l1(size))]


def batchtopk(size: str) -> Iterator[Measurement]:
    """Our step against the encoder product alone and against sae-lens' step."""
    M, d, S, B, k, product_target, peer_target = SIZES[size]
    rows = batches(B, M, d)
    ours, peers, product = medians(
        our_step(Recipe(latents=S, k=k, batch_rows=B, learning_rate=RATE, steps=10**6), M, d, rows),
        sae_lens_step("batchtopk", S, k, rows),
        encoder_product(S, rows),
    )
    work = f"BatchTopK step, {size}"
    yield row(work, "encoder product alone", ours, product, product_target)
    yield row(work, "sae-lens BatchTopK step", ours, peers, peer_target)


def l1(size: str) -> Iterator[Measurement]:
    """Our step against sae-lens' step and against the five dense products; then late in training, when few fire."""
    M, d, S, B, k, *_ = SIZES[size]
    rows, recipe = batches(B, M, d), Recipe(objective="l1", latents=S, learning_rate=RATE, l1_ramp=0, steps=10**6)
    ours, peers, products = medians(
        our_step(recipe, M, d, rows), sae_lens_step("standard", S, k, rows), five_products(S, rows)
    )
    work = f"L1 step, {size}"
    yield row(work, "sae-lens standard step", ours, peers, "<= 0.769", "1.3 times as fast")
    yield row(work, "its five dense products alone", ours, products, "<= 1.176", "85 % of their speed")
    few = (our_step(recipe, M, d, rows, few=True), sae_lens_step("standard", S, k, rows, few=True))
    ours, peers = medians(*few)
    yield row(f"{work}, 3 % of the values positive", "sae-lens standard step", ours, peers, "<= 0.769")


def row(work: str, peer: str, ours: float, peers: float, target: str, note: str = "") -> Measurement:
    """One measurement in milliseconds from seconds."""
    return Measurement(work, peer, ours * 1e3, peers * 1e3, "ms", target, REPETITIONS, note)


def batches(B: int, M: int, d: int) -> list[torch.Tensor]:
    """Four batches (B, M, d)."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(B, M, d, generator=generator) for _ in range(4)]


def our_step(recipe: Recipe, M: int, d: int, rows: list[torch.Tensor], few: bool = False) -> Callable[[], object]:
    """One step of `rlgen`. With `few` about 3 % of the values are positive, by the bias."""
    training, order = Training.start(recipe, M, d, 0, "cpu"), cycle(rows)
    if few:
        training.parameters.b_enc_S.data[:] = few_bias(rows[0].flatten(1) @ training.parameters.W_enc_SMd.flatten(1).T)
    return lambda: training.advance(next(order))


def sae_lens_step(kind: str, S: int, k: int, rows: list[torch.Tensor], few: bool = False) -> Callable[[], object]:
    """One step of sae-lens' trainer."""
    from sae_lens import saes
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    E, order = rows[0][0].numel(), cycle([batch_BMd.flatten(1) for batch_BMd in rows])
    if kind == "batchtopk":
        cfg = saes.BatchTopKTrainingSAEConfig(d_in=E, d_sae=S, k=k, rescale_acts_by_decoder_norm=True)
        sae = saes.BatchTopKTrainingSAE(cfg)
    else:
        sae = saes.StandardTrainingSAE(saes.StandardTrainingSAEConfig(d_in=E, d_sae=S, l1_coefficient=L1))
    if few:
        sae.b_enc.data[:] = few_bias(rows[0].flatten(1) @ sae.W_enc.detach())
    cfg = SAETrainerConfig(total_training_samples=10**9, train_batch_size_samples=len(rows[0]), lr=RATE, lr_end=RATE)
    trainer = SAETrainer(cfg, sae, data_provider=order)
    return lambda: trainer.step(next(order))


def few_bias(product_BS: torch.Tensor) -> float:
    """The bias at which 3 % of the pre-activations are positive."""
    return -product_BS.detach().flatten()[:: len(product_BS)].quantile(0.97).item()


def encoder_product(S: int, rows: list[torch.Tensor]) -> Callable[[], object]:
    """rows @ W_enc, into memory that is there."""
    order, W_ES = cycle([batch_BMd.flatten(1) for batch_BMd in rows]), torch.randn(rows[0][0].numel(), S)
    out_BS = torch.empty(len(rows[0]), S)
    return lambda: torch.mm(next(order), W_ES, out=out_BS)


def five_products(S: int, rows: list[torch.Tensor]) -> Callable[[], object]:
    """Encoder, decoder, the gradient at z and those at both weights, into memory that is there."""
    x_BE = rows[0].flatten(1)
    W_ES, W_SE, z_BS = torch.randn(x_BE.shape[1], S), torch.randn(S, x_BE.shape[1]), torch.empty(len(x_BE), S)
    made_BE, dz_BS, enc_ES, dec_SE = torch.empty_like(x_BE), torch.empty_like(z_BS), W_ES.clone(), W_SE.clone()

    def work() -> None:
        torch.mm(x_BE, W_ES, out=z_BS)
        torch.mm(z_BS, W_SE, out=made_BE)
        torch.mm(x_BE, W_SE.T, out=dz_BS)
        torch.mm(x_BE.T, dz_BS, out=enc_ES)
        torch.mm(z_BS.T, x_BE, out=dec_SE)

    return work


if __name__ == "__main__":
    for found in measurements():
        print(f"{found.work} | {found.peer} | {found.ours:.1f} {found.peers:.1f} {found.unit}", end=" | ")
        print(f"{found.ratio:.3f} {found.target} {'met' if found.met else 'MISSED'} {found.note}")
