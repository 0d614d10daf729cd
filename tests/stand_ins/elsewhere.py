"""A device that is not there: tensors that say they lie on it, refuse what CUDA refuses, and compute on the CPU.

`torch.device("meta")` stands for the GPU. Within `elsewhere()` a tensor moved or made there is an `Elsewhere`: it holds
its values in main memory, so that what depends on them (indices, lengths, ends of sequence) goes its way as on a GPU.
An operation on tensors of both places raises RuntimeError as CUDA does. `torch._subclasses.FakeTensorMode` finds the
same mixes but holds no values, and without values no text is generated and no latent chosen.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("meta")
aten = torch.ops.aten
WRITES = {aten.copy_, aten._copy_from}
BOTH_PLACES = {*WRITES, aten._to_copy}  # read in one place, write in another
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index}  # by indices here
LISTS = {aten.cat, aten.stack}  # take no number from the CPU either
MATH = 0  # the way of attention that every device has: the choice made here would be a kernel of the CPU's own


class Elsewhere(torch.Tensor):
    """A tensor of the other device; `here` holds its values."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> "Elsewhere":
        known = {"dtype": here.dtype, "layout": here.layout, "requires_grad": here.requires_grad}
        place = {"strides": here.stride(), "storage_offset": here.storage_offset(), "device": DEVICE}
        with torch.inference_mode(False):  # else a view of a tensor made outside of that mode cannot be one
            made = torch.Tensor._make_wrapper_subclass(cls, here.size(), **known, **place)
        made.here = here.detach()
        return made

    def __repr__(self, **_) -> str:  # without tensor operations: a message may name a tensor in the middle of one
        return f"Elsewhere({tuple(self.shape)}, {self.dtype})"

    def tolist(self) -> Any:
        """As of a GPU: C++ would refuse any tensor of a class of its own."""
        return self.here.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class Generator(torch.Generator):
    """`torch.Generator` that can be asked for on the other device; its numbers are the CPU's."""

    def __new__(cls, device: torch.device | str = "cpu") -> "Generator":
        made = super().__new__(cls, "cpu")
        made.there = torch.device(device) == DEVICE
        return made


class Autocast(torch.autocast):
    """`torch.autocast` that can be asked to do nothing on the other device."""

    def __new__(cls, device_type: str, enabled: bool = True, **options):
        if device_type == DEVICE.type and not enabled:
            return nullcontext()
        return torch.amp.autocast_mode.autocast(device_type, enabled=enabled, **options)


class _Operations(TorchDispatchMode):
    """Sees every operation, those that make a tensor included."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """Sees every function: `torch.tensor(..., device=...)` leaves values behind, and operations lose generators."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if (generator := kwargs.get("generator")) is not None:
            device = kwargs.get("device") or next((x.device for x in args if isinstance(x, torch.Tensor)), "cpu")
            if getattr(generator, "there", False) != (torch.device(device) == DEVICE):
                raise RuntimeError(f"{func}: its generator is not one of the device of its result")
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            return func(*args, **kwargs | {"device": "cpu"}).to(kwargs["device"])
        return func(*args, **kwargs)


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """Within the context, in this thread, the returned device works like a GPU."""
    with _Functions(), _Operations(), patch.multiple(torch, Generator=Generator, autocast=Autocast):
        yield DEVICE


def _run(func, args: tuple, kwargs: dict) -> Any:
    """One operation: computed on the values here, its result where CUDA would have it."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    if any(tensor.device == DEVICE and not isinstance(tensor, Elsewhere) for tensor in tensors):
        raise AssertionError(f"{func}: a tensor went to the device outside of `elsewhere()`, without its values")
    if func is aten._fused_sdp_choice.default and there:
        return MATH
    if there and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
        with _Operations():  # inference mode shows operations that are made of others
            return func.decompose(*args, **kwargs)
    if there:
        _refuse_a_mix(func, args, tensors)
    device = kwargs.get("device")
    to_there = bool(there) if device is None else torch.device(device) == DEVICE
    if device is not None and to_there:
        kwargs = kwargs | {"device": torch.device("cpu")}
    values = tree_map_only(Elsewhere, lambda tensor: tensor.here, (args, kwargs))
    found = func(*values[0], **values[1])
    if func.overloadpacket in WRITES:
        return args[0]
    if not to_there:
        return found
    wrapped = tree_map_only(torch.Tensor, Elsewhere, found)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if there else wrapped


def _refuse_a_mix(func, args: tuple, tensors: list[torch.Tensor]) -> None:
    """Raise where CUDA would: a tensor of the CPU, other than a number, beside one of the device."""
    packet = func.overloadpacket
    if packet in BOTH_PLACES:
        return
    if packet in INDEXED and isinstance(args[0], Elsewhere):
        tensors = [leaf for leaf in (args[0], *args[2:]) if isinstance(leaf, torch.Tensor)]
    for tensor in tensors:
        if not isinstance(tensor, Elsewhere) and (tensor.dim() or packet in LISTS):
            raise RuntimeError(f"{func}: expected all tensors on one device, found {tuple(tensor.shape)} on the CPU")
