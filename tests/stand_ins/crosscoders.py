"""Untrained dictionaries and activations, for tests of what is computed with them."""

import torch

from rlgen.dictionaries.crosscoder import Crosscoder


def random_crosscoder(seed: int, M: int = 2, S: int = 7, d: int = 5, threshold: float | None = None) -> Crosscoder:
    """An untrained dictionary with a scale and mean per member."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g)

    return Crosscoder(
        members=[f"m{i}@1" for i in range(M)],
        objective="l1" if threshold is None else "batchtopk",
        W_enc_MdS=normal(M, d, S),
        b_enc_S=0.1 * normal(S),
        W_dec_SMd=normal(S, M, d),
        b_dec_Md=normal(M, d),
        mean_Md=normal(M, d),
        scale_M=0.5 + torch.rand(M, generator=g),
        threshold=threshold,
        free_latents=S,
    )


def activations(seed: int, B: int = 20, M: int = 2, d: int = 5) -> torch.Tensor:
    """Random raw activations (B, M, d)."""
    return torch.randn(B, M, d, generator=torch.Generator().manual_seed(seed + 1))
