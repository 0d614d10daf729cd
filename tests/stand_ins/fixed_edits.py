"""Edits that no procedure chose, for tests of what is done with them."""

import torch

from rlgen.models.fixed_edits import LATENTS, VECTOR, FixedEdit


def random_edit(d: int, layer: int, latents: int = 5, everywhere: bool = False) -> FixedEdit:
    """An edit through random latents of a stream of width d."""
    g = torch.Generator().manual_seed(7)
    shapes = ((d, latents), (latents,), (latents,), (latents, d))
    W_dF, bias_F, floor_F, direction_Fd = (torch.randn(shape, generator=g) for shape in shapes)
    parts = (W_dF, bias_F, floor_F.abs() / 4, direction_Fd)
    return FixedEdit(dict(zip(LATENTS, parts, strict=True)), layer, everywhere, 2.0, "selected")


def random_vector(d: int, layer: int) -> FixedEdit:
    """An edit by a constant vector."""
    vector_d = torch.randn(d, generator=torch.Generator().manual_seed(8))
    return FixedEdit({VECTOR: vector_d}, layer, False, 1.0, "shift-in_domain")
