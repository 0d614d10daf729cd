"""The trained tensors of a sparse crosscoder, and what a step of training returns.

Shapes: S latents, M members, d width, F free latents, T tied latents (F + T = S).
"""

from dataclasses import dataclass

import torch

from rlgen.dictionaries.encoders import TrainedBend
from rlgen.seeds import stream_seed

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # Adam


class Parameters(torch.nn.Module):
    """The trained tensors, stored as few large matrices with a latent's values side by side.

    Tied values are stored once and have one gradient. Decoder rows start with norm `init_norm` in a random direction,
    the same in every member, so that a latent's index means the same in all of them; the encoder starts as the decoder
    transposed, biases at 0. Of the first `exclusive` latents only the first member has weights, of as many after them
    only the last; those of the other members are zero and stay so. `bend` is what an encoder adds that is not linear.
    """

    def __init__(
        self,
        S: int,
        M: int,
        d: int,
        free: int,
        tied_bias: bool,
        init_norm: float,
        seed: int,
        exclusive: int = 0,
        bend: TrainedBend | None = None,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(stream_seed(seed, "decoder_init"))
        W_Sd = torch.randn(S, d, generator=generator)
        W_S1d = (W_Sd / W_Sd.norm(dim=1, keepdim=True) * init_norm)[:, None]
        self.members, self.bend = M, bend
        self.W_enc_SMd = torch.nn.Parameter(W_S1d.repeat(1, M, 1))  # copies: nothing is shared, not even with M = 1
        self.b_enc_S = torch.nn.Parameter(torch.zeros(S))
        self.W_free_FMd = torch.nn.Parameter(W_S1d[:free].repeat(1, M, 1))
        self.W_tied_T1d = torch.nn.Parameter(W_S1d[free:].clone())
        self.b_dec_Md = torch.nn.Parameter(torch.zeros(1 if tied_bias else M, d))
        mask_SM1 = members_of_latents(S, M, exclusive)[..., None].float() if exclusive else None
        self.register_buffer("mask_SM1", mask_SM1, persistent=False)
        if exclusive:
            self.W_enc_SMd.data *= mask_SM1
            self.W_free_FMd.data *= mask_SM1[:free]

    @property
    def W_enc_MdS(self) -> torch.Tensor:
        """The encoder as a trained crosscoder holds it."""
        return self.encoder().permute(1, 2, 0).contiguous()

    def encoder(self) -> torch.Tensor:
        """W_enc_SMd, without what exclusive latents might read of other members."""
        return self.W_enc_SMd if self.mask_SM1 is None else self.W_enc_SMd * self.mask_SM1

    def decoder(self) -> torch.Tensor:
        """W_dec_SMd: the free latents, then the tied ones repeated over members."""
        if len(self.W_tied_T1d) == 0:
            return self.W_free_FMd if self.mask_SM1 is None else self.W_free_FMd * self.mask_SM1
        return torch.cat([self.W_free_FMd, self.W_tied_T1d.expand(-1, self.members, -1)])


def members_of_latents(S: int, M: int, exclusive: int) -> torch.Tensor:
    """Which members each latent may read and write, (S, M) bool: the first's own, the last's own, then shared ones.

    >>> members_of_latents(3, 2, 1).tolist()
    [[True, False], [False, True], [True, True]]
    """
    mask_SM = torch.ones(S, M, dtype=torch.bool)
    mask_SM[:exclusive, 1:] = False
    mask_SM[exclusive : 2 * exclusive, :-1] = False
    return mask_SM


class Moments(dict[str, tuple[torch.Tensor, torch.Tensor]]):
    """Name of a parameter -> Adam's running means of its gradient and of its square."""

    @classmethod
    def zero(cls, parameters: Parameters) -> "Moments":
        """Before the first step."""
        named = parameters.named_parameters()
        return cls({name: (torch.zeros_like(p.detach()), torch.zeros_like(p.detach())) for name, p in named})


@dataclass
class Outcome:
    """What one step found in its batch. Numbers of the compiled step are floats, those of the plain one tensors."""

    loss: torch.Tensor | float  # all of it
    reconstruction_loss: torch.Tensor | float
    active: torch.Tensor | float  # positive values of z
    cut: torch.Tensor | float  # the smallest kept weighted value; 0 for l1
    fired_S: torch.Tensor  # whether the latent fired
