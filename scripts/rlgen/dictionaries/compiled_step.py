"""One step of a sparse crosscoder on the CPU with compiled code (compiled_step.cpp) around torch's matrix products.

The same step as `plain_step`, up to rounding. The number of threads is torch's.

Shapes: B rows, S latents, M members, d width, D dead latents, F free latents.
"""

import ctypes
from pathlib import Path

import torch

from rlgen.dictionaries import native
from rlgen.dictionaries.parameters import BETA1, BETA2, EPS, Moments, Outcome, Parameters
from rlgen.dictionaries.settings import Recipe

SOURCE = Path(__file__).with_suffix(".cpp")
DENSE_ABOVE = 0.1  # share of positive values above which five dense products beat walking over the positive values


class Pointers(ctypes.Structure):
    """A parameter and its moments."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("value", "first", "second")]


class Step(ctypes.Structure):
    """`struct Step` of compiled_step.h, field by field."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("B", "S", "F", "M", "d", "D", "biases", "kept", "aux_k", "threads")),
        *((name, ctypes.c_float) for name in ("l1", "aux", "rate", "eps", "beta1", "beta2")),
        *((name, ctypes.c_float) for name in ("rest1", "rest2", "correction1", "correction2")),
        *((name, ctypes.c_void_p) for name in ("x_BMd", "pre_BS", "dead_D")),
        *((name, Pointers) for name in ("W_enc_SMd", "b_enc_S", "W_free_FMd", "W_tied_T1d", "b_dec_Md")),
        *((name, ctypes.c_void_p) for name in ("norms_SM", "norms_S", "error_BMd", "aux_BMd", "z_sum_S")),
        *((name, ctypes.c_void_p) for name in ("dpre_sum_S", "fired_S", "dpre_BS", "decoder_SMd", "encoder_SMd")),
        ("loss", ctypes.c_double),
        ("reconstruction_loss", ctypes.c_double),
        ("found", ctypes.c_int64),
        ("cut", ctypes.c_float),
    ]


def available() -> bool:
    """Whether this machine can run the compiled step."""
    return native.load(SOURCE) is not None


class CompiledStep:
    """Gradients by hand."""

    def __init__(self, recipe: Recipe, parameters: Parameters, moments: Moments) -> None:
        self.recipe, self.parameters, self.moments = recipe, parameters, moments
        self.library = native.load(SOURCE)
        self.library.count_positive.restype = ctypes.c_int64
        self.buffers: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def advance(self, rows_BMd: torch.Tensor, step: int, rate: float, l1: float, dead_D: torch.Tensor) -> Outcome:
        """Step number `step` (from 0) of Adam with learning rate `rate` and lambda `l1`."""
        rows_BMd = rows_BMd.float().contiguous()
        B, S = len(rows_BMd), self.recipe.latents
        pre_BS = self._buffer("pre_BS", B, S)
        torch.mm(rows_BMd.flatten(1), self.parameters.W_enc_SMd.flatten(1).T, out=pre_BS)
        work = self._step(rows_BMd, pre_BS, step, dead_D)
        work.rate, work.l1 = rate, l1
        fired_S = torch.empty(S, dtype=torch.bool)
        work.fired_S = fired_S.data_ptr()
        if self.recipe.objective == "l1":
            work.found = self.library.count_positive(ctypes.byref(work))
        if work.found > DENSE_ABOVE * B * S:
            self._dense(work, rows_BMd.flatten(1), pre_BS)
        else:
            self.library.sparse_step(ctypes.byref(work))
        self._hold_exclusive()
        return Outcome(work.loss, work.reconstruction_loss, work.found, work.cut, fired_S)

    @torch.no_grad()
    def _hold_exclusive(self) -> None:
        """Take back what the step did to weights that are held at zero.

        They were zero in it, so nothing else has felt them, and Adam moves every value by itself.
        """
        mask_SM1 = self.parameters.mask_SM1
        if mask_SM1 is not None:
            for name in ("W_enc_SMd", "W_free_FMd"):
                for tensor in (getattr(self.parameters, name), *self.moments[name]):
                    tensor.mul_(mask_SM1)

    def _dense(self, work: Step, rows_BE: torch.Tensor, z_BS: torch.Tensor) -> None:
        """The L1 step where many values are positive. E = M*d."""
        library, W_dec_SE = self.library, self.parameters.W_free_FMd.flatten(1)
        error_BE, dpre_BS = self.buffers["error_BMd"].flatten(1), self._buffer("dpre_BS", *z_BS.shape)
        decoder_SE, encoder_SE = (self._buffer(name, *W_dec_SE.shape) for name in ("decoder_SMd", "encoder_SMd"))
        library.dense_relu(ctypes.byref(work))
        torch.mm(z_BS, W_dec_SE, out=error_BE)
        library.dense_error(ctypes.byref(work))
        torch.mm(error_BE, W_dec_SE.T, out=dpre_BS)
        work.dpre_BS, work.decoder_SMd, work.encoder_SMd = (t.data_ptr() for t in (dpre_BS, decoder_SE, encoder_SE))
        library.dense_backward(ctypes.byref(work))
        torch.mm(z_BS.T, error_BE, out=decoder_SE)
        torch.mm(dpre_BS.T, rows_BE, out=encoder_SE)
        library.dense_update(ctypes.byref(work))

    def _step(self, rows_BMd: torch.Tensor, pre_BS: torch.Tensor, step: int, dead_D: torch.Tensor) -> Step:
        """What the compiled code reads. `dead_D` and the rows must outlive it."""
        recipe, (B, M, d), S = self.recipe, rows_BMd.shape, self.recipe.latents
        pointers = {
            name: Pointers(*(tensor.data_ptr() for tensor in (parameter, *self.moments[name])))
            for name, parameter in self.parameters.named_parameters()
        }
        shapes = {"norms_SM": (S, M), "norms_S": (S,), "z_sum_S": (S,), "dpre_sum_S": (S,), "error_BMd": (B, M, d)}
        if len(dead_D):
            shapes["aux_BMd"] = (B, M, d)
        return Step(
            B=B,
            S=S,
            F=len(self.parameters.W_free_FMd),
            M=M,
            d=d,
            D=0 if recipe.objective == "l1" else len(dead_D),
            biases=len(self.parameters.b_dec_Md),
            kept=0 if recipe.objective == "l1" else B * recipe.k,
            aux_k=recipe.aux_k,
            threads=torch.get_num_threads(),
            aux=recipe.aux_coefficient,
            beta1=BETA1,
            beta2=BETA2,
            rest1=1 - BETA1,
            rest2=1 - BETA2,
            eps=EPS,
            correction1=1 - BETA1 ** (step + 1),
            correction2=1 - BETA2 ** (step + 1),
            x_BMd=rows_BMd.data_ptr(),
            pre_BS=pre_BS.data_ptr(),
            dead_D=dead_D.data_ptr(),
            **pointers,
            **{name: self._buffer(name, *shape).data_ptr() for name, shape in shapes.items()},
        )

    def _buffer(self, name: str, *shape: int) -> torch.Tensor:
        """Memory that is used again by every step."""
        if name not in self.buffers or self.buffers[name].shape != shape:
            self.buffers[name] = torch.empty(shape)
        return self.buffers[name]
