"""A model whose KL can be worked out by hand, and pairs of tiny models, for tests of exchanging latents."""

import torch

from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.features.exchange import Exchange, Pair


class Body(torch.nn.Module):
    """Embeds tokens as given rows; its one block and its end change nothing."""

    def __init__(self, rows_Vd: torch.Tensor) -> None:
        super().__init__()
        self.rows_Vd, self.layers = rows_Vd, torch.nn.ModuleList([torch.nn.Identity()])

    def forward(self, input_ids: torch.Tensor, use_cache: bool):
        state = torch.nn.Module()
        state.last_hidden_state = self.layers[0](self.rows_Vd[input_ids])
        return state


class Plain(torch.nn.Module):
    """A language model whose logits are its residual stream."""

    def __init__(self, rows_Vd: torch.Tensor) -> None:
        super().__init__()
        self.model, self.lm_head, self.device = Body(rows_Vd), torch.nn.Identity(), torch.device("cpu")


def constant_crosscoder(difference_Sd: torch.Tensor) -> Crosscoder:
    """Every latent always fires at 1; the tuned decoder is the difference, the reference's is nothing."""
    S, d = difference_Sd.shape
    zeros = torch.zeros(2, d, dtype=difference_Sd.dtype)
    return Crosscoder(
        members=["base@1", "rl@1"],
        objective="l1",
        W_enc_MdS=torch.zeros(2, d, S, dtype=difference_Sd.dtype),
        b_enc_S=torch.ones(S, dtype=difference_Sd.dtype),
        W_dec_SMd=torch.stack([torch.zeros_like(difference_Sd), difference_Sd], dim=1),
        b_dec_Md=zeros,
        mean_Md=zeros,
        scale_M=torch.ones(2, dtype=difference_Sd.dtype),
        threshold=None,
        free_latents=S,
    )


def exchange_of(crosscoder: Crosscoder, running: int = 0, latents: list[int] | None = None) -> Exchange:
    """The exchange of some latents, or of all."""
    return Exchange(crosscoder, running, "swap", torch.tensor(latents or range(crosscoder.n_latents)))


def plain_pair(running_Vd: torch.Tensor, goal_Vd: torch.Tensor, texts: list) -> Pair:
    """Two of the models above."""
    return Pair(Plain(running_Vd), Plain(goal_Vd), 0, False, texts)
