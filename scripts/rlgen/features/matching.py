"""Which latents of two dictionaries over the same models are the same latent? (docs/method.md, section 11.)

Two latents can be the same where their decoder rows, all members side by side in raw units, have a cosine of at least
`same_cosine`. Among such pairs the matching is the one-to-one assignment with the largest sum of cosines (Hungarian
method, Kuhn 1955). Pairs below the bound are never matched, so the assignment falls apart into small blocks of linked
latents, and dictionaries of tens of thousands of latents can be matched.

Shapes: A and B latents of the two dictionaries, X = members * d.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import hypergeom

ROWS_PER_BLOCK = 1024


@dataclass(frozen=True)
class Matching:
    """Pairs of the same latent: `ours[i]` is `theirs[i]`, of dictionaries with so many candidates each."""

    ours: NDArray[np.intp]  # rising
    theirs: NDArray[np.intp]
    cosine: NDArray[np.float64]
    candidates: tuple[int, int]

    @property
    def share(self) -> float:
        """Matched pairs over the candidates of the smaller dictionary: 1 where all of them are found again."""
        return len(self.ours) / max(1, min(self.candidates))

    def translated(self, theirs: NDArray[np.integer]) -> NDArray[np.intp]:
        """Our latents that some of theirs are matched to, sorted."""
        return np.sort(self.ours[np.isin(self.theirs, theirs)])


def match(
    ours_AX: NDArray, theirs_BX: NDArray, ours: NDArray[np.integer], theirs: NDArray[np.integer], same_cosine: float
) -> Matching:
    """Match the latents `ours` and `theirs` (indices of rows), those that may be matched at all, such as alive ones."""
    rows, columns, cosine = _alike(_unit(ours_AX[ours]), _unit(theirs_BX[theirs]), same_cosine)
    a, b = len(ours), len(theirs)
    links = coo_array((np.ones(len(rows)), (rows, a + columns)), shape=(a + b, a + b))
    _, block_N = connected_components(links, directed=False)
    pairs: list[tuple[int, int, float]] = []
    order = np.argsort(block_N[rows], kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(block_N[rows[order]])) + 1):
        pairs += _assigned(rows[members], columns[members], cosine[members]) if len(members) else []
    pairs.sort()
    left, right, value = (np.array(column) for column in zip(*pairs, strict=True)) if pairs else (np.zeros(0, int),) * 3
    return Matching(ours[left], theirs[right], value.astype(np.float64), (a, b))


def _unit(rows_AX: NDArray) -> NDArray:
    """Rows of length 1; rows of zeros stay."""
    norm_A1 = np.linalg.norm(rows_AX, axis=1, keepdims=True)
    return np.divide(rows_AX, norm_A1, out=np.zeros_like(rows_AX), where=norm_A1 > 0)


def _alike(ours_AX: NDArray, theirs_BX: NDArray, same_cosine: float) -> tuple[NDArray, NDArray, NDArray]:
    """(row, column, cosine) of all pairs of unit rows that are alike enough, a block of rows at a time."""
    found = []
    for start in range(0, len(ours_AX), ROWS_PER_BLOCK):
        cosine_RB = ours_AX[start : start + ROWS_PER_BLOCK] @ theirs_BX.T
        row, column = np.nonzero(cosine_RB >= same_cosine - 1e-6)  # a copy of a row reaches 1 up to rounding
        found.append((row + start, column, cosine_RB[row, column]))
    rows, columns, cosine = (np.concatenate(part) for part in zip(*found, strict=True)) if found else (np.zeros(0),) * 3
    return rows.astype(np.intp), columns.astype(np.intp), cosine


def _assigned(rows: NDArray, columns: NDArray, cosine: NDArray) -> list[tuple[int, int, float]]:
    """The best assignment of one block of linked latents."""
    row_names, row = np.unique(rows, return_inverse=True)
    column_names, column = np.unique(columns, return_inverse=True)
    table = np.zeros((len(row_names), len(column_names)))
    table[row, column] = cosine
    chosen = linear_sum_assignment(table, maximize=True)
    return [
        (int(row_names[i]), int(column_names[j]), float(table[i, j]))
        for i, j in zip(*chosen, strict=True)
        if table[i, j] > 0
    ]


def set_overlap(shared: int | NDArray, ours: int, theirs: int) -> NDArray:
    """|intersection| / |union| of sets of such sizes; 0 where both are empty."""
    return np.asarray(shared) / np.maximum(ours + theirs - np.asarray(shared), 1)


def overlap_row(matching: Matching, ours: NDArray[np.integer], theirs: NDArray[np.integer]) -> dict[str, float]:
    """Overlap of two sets of latents under a matching, beside random sets of as many of our candidates.

    value: Jaccard of our set and theirs, matched latents counted as the same. chance, chance_lo, chance_hi: its mean,
    2.5 and 97.5 % over all sets of our size; p: share of them that overlap at least as much. Exact: hypergeometric.
    """
    found = matching.translated(theirs)
    shared, n = len(np.intersect1d(ours, found)), len(ours)
    draw = hypergeom(matching.candidates[0], len(found), n)
    possible = np.arange(0, min(n, len(found)) + 1)
    chance = set_overlap(possible, n, len(theirs)) @ draw.pmf(possible)
    lo, hi = (float(set_overlap(draw.ppf(q), n, len(theirs))) for q in (0.025, 0.975))
    return {
        "value": float(set_overlap(shared, n, len(theirs))),
        "chance": float(chance),
        "chance_lo": lo,
        "chance_hi": hi,
        "p": float(draw.sf(shared - 1)),
    }
