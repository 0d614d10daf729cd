"""Maximally activating contexts: for every latent and member, the places in the held-out stream where it fires most.

Shapes: B rows, S latents, K candidates, N sequences of T tokens.
"""

from collections.abc import Callable, Iterable, Iterator

import pandas as pd
import torch

from rlgen.dictionaries.held_out import HeldOut

CANDIDATES_PER_CONTEXT = 8  # kept while reading, so that contexts from different sequences remain at the end


def strongest_rows(codes: Iterable[torch.Tensor], k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest activations of every latent over all rows: (activation_KS, row_KS), strongest first.

    `codes` yields z_BS batch by batch, rows counted through. Fewer than k rows give fewer candidates.
    """
    best_KS = rows_KS = None
    seen = 0
    for z_BS in codes:
        row_BS = torch.arange(seen, seen + len(z_BS), device=z_BS.device)[:, None].expand_as(z_BS)
        seen += len(z_BS)
        values_CS = z_BS if best_KS is None else torch.cat([best_KS, z_BS])
        rows_CS = row_BS if rows_KS is None else torch.cat([rows_KS, row_BS])
        best_KS, order_KS = values_CS.sort(dim=0, descending=True, stable=True)  # ties: the earlier row
        best_KS, rows_KS = best_KS[:k].clone(), rows_CS.gather(0, order_KS[:k])
    if best_KS is None:
        raise ValueError("no held-out rows to look for contexts in")
    return best_KS, rows_KS


def strongest_apart(
    codes: Iterable[torch.Tensor], sequence_R: torch.Tensor, most: int
) -> Iterator[tuple[int, int, int, float]]:
    """(latent, rank from 1, row, activation) of every latent's strongest rows, at most `most`, one per sequence."""
    best_KS, rows_KS = (t.cpu() for t in strongest_rows(codes, most * CANDIDATES_PER_CONTEXT))
    sequences = sequence_R.tolist()
    for latent, (best_K, row_K) in enumerate(zip(best_KS.T.tolist(), rows_KS.T.tolist(), strict=True)):
        found: dict[int, tuple[int, float]] = {}
        for best, row in zip(best_K, row_K, strict=True):
            if best > 0 and len(found) < most:
                found.setdefault(sequences[row], (row, best))
        yield from ((latent, rank, row, best) for rank, (row, best) in enumerate(found.values(), start=1))


def own_code(held_out: HeldOut, m: int) -> Iterator[torch.Tensor]:
    """Member m's own code of the held-out rows ("swap" readout), batch by batch."""
    return (held_out.crosscoder.encode_one(h_BMd[:, m], m) for h_BMd in held_out.batches())


def context_table(
    member: str,
    codes: Iterable[torch.Tensor],
    sequence_R: torch.Tensor,
    position_R: torch.Tensor,
    token_ids_NT: torch.Tensor,
    decode: Callable[[list[int]], str],
    contexts: int,
    context_tokens: int,
) -> pd.DataFrame:
    """Up to `contexts` contexts per latent, at most one per sequence: latent, member, rank, activation, text, token.

    `codes` yields the member's own code of R rows; `sequence_R` and `position_R` say where each row lies in
    `token_ids_NT`; `decode` turns token ids into text. `text` is that of at most `context_tokens` tokens, of which
    `token` is the last, at which the latent fires. Latents that never fire have no rows.
    """
    table = []
    for latent, rank, row, activation in strongest_apart(codes, sequence_R, contexts):
        sequence, end = int(sequence_R[row]), int(position_R[row]) + 1
        ids = token_ids_NT[sequence, max(0, end - context_tokens) : end].tolist()
        table.append((latent, member, rank, activation, decode(ids), decode(ids[-1:])))
    return pd.DataFrame(table, columns=["latent", "member", "rank", "activation", "text", "token"])


@torch.no_grad()
def contexts(
    held_out: HeldOut, decode: Callable[[list[int]], str], per_latent: int, context_tokens: int
) -> pd.DataFrame:
    """Maximally activating contexts of every latent by every member's own code ("swap" readout)."""
    sequence_R, position_R = held_out.places()
    tables = []
    for m, member in enumerate(held_out.crosscoder.members):
        codes = own_code(held_out, m)
        tables.append(
            context_table(
                member, codes, sequence_R, position_R, held_out.token_ids_NT, decode, per_latent, context_tokens
            )
        )
    return pd.concat(tables, ignore_index=True)
