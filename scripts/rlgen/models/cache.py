"""Keys and values of a batch in columns set aside beforehand, where every row may stand at a column of its own.

A cache that grows by concatenation copies everything it holds for every token; this one writes one column. Rows at
different columns let completions that were accepted to different lengths go on side by side, and rows that have ended
leave. Shapes: A rows, H heads, W columns, e width of a head, Q columns of one forward pass.
"""

import torch


class RowCache:
    """Stands in for the cache of transformers: blocks call `update`; masks and positions are the caller's."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # block -> keys_AHWe, values_AHWe
        self.at: slice | torch.Tensor = slice(0)
        self.end = 0

    def stand(self, at: slice | torch.Tensor) -> None:
        """Where the next forward pass writes: the same columns for all rows, or one column per row (A,)."""
        self.at, self.end = at, at.stop if isinstance(at, slice) else int(at.max()) + 1

    def update(self, keys_AHQe: torch.Tensor, values_AHQe: torch.Tensor, block: int, *_) -> tuple[torch.Tensor, ...]:
        """Write the new columns of a block; everything up to the last written column comes back as views."""
        if block not in self.layers:
            self.fill(block, keys_AHQe[:, :, :0], values_AHQe[:, :, :0])
        for held_AHWe, new_AHQe in zip(self.layers[block], (keys_AHQe, values_AHQe), strict=True):
            if isinstance(self.at, slice):
                held_AHWe[:, :, self.at] = new_AHQe
            else:
                _write_column(held_AHWe, new_AHQe, self.at)
        keys_AHWe, values_AHWe = self.layers[block]
        return keys_AHWe[:, :, : self.end], values_AHWe[:, :, : self.end]

    def fill(self, block: int, *parts: torch.Tensor, first: int = 0) -> None:
        """Put keys and values (A, H, Q, e) of a block into the columns from `first` on, zeros where nothing is yet.

        Zeros, because a masked column still takes part in products, where what lay in memory before may be NaN.
        """
        if block not in self.layers:
            self.layers[block] = tuple(p.new_zeros(*p.shape[:2], self.width, p.shape[3]) for p in parts)
        for held_AHWe, part_AHQe in zip(self.layers[block], parts, strict=True):
            held_AHWe[:, :, first : first + part_AHQe.shape[2]] = part_AHQe

    def keep(self, places_A: torch.Tensor) -> None:
        """Keep these rows only, in this order."""
        self.layers = {block: tuple(x.index_select(0, places_A) for x in both) for block, both in self.layers.items()}


def _write_column(held_AHWe: torch.Tensor, new_AH1e: torch.Tensor, column_A: torch.Tensor) -> None:
    """Write one column per row. Copying along a flat view takes half the time of an assignment to indices."""
    A, H, W, e = held_AHWe.shape
    line_AH = torch.arange(A * H, device=column_A.device).view(A, H) * W + column_A[:, None]
    held_AHWe.view(A * H * W, e).index_copy_(0, line_AH.flatten(), new_AH1e.reshape(A * H, e))
