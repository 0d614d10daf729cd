"""The processes that train one model together, as one of them sees them. Alone, nothing is exchanged.

`rlgen.jobs.launch` starts them. Every function but `first` must be called by all of them, in the same order.
"""

import os
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from rlgen.files import ArtifactError

T = TypeVar("T")


# The first process may generate, or write and check a state, for longer than the usual 10 minutes.
PATIENCE = timedelta(hours=2)


def join(expected: int) -> None:
    """Meet the other processes, each on a GPU of its own where there are any.

    Raises ArtifactError where there are not as many processes or GPUs as the study says: the batch would be another.
    """
    started = int(os.environ.get("WORLD_SIZE", 1))
    if started != expected:
        remedy = f"expected {expected}: `python scripts/job.py --processes {expected} ...`"
        raise ArtifactError(f"scale.gpus: {expected}, but {started} processes were started, {remedy}")
    if started == 1:
        return
    if torch.cuda.is_available() and torch.cuda.device_count() < started:
        found = f"{torch.cuda.device_count()} of {started} GPUs are there"
        raise ArtifactError(f"scale.gpus: {found}, expected one for each process")
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)


def first() -> bool:
    """Whether this is the process that reports and writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def told(value: T) -> T:
    """What the first process says, in every process."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def wait() -> None:
    """Wait until all processes are here."""
    if dist.is_initialized():
        dist.barrier()


def own(items: list[T]) -> list[T]:
    """This process's share of a list that all of them hold."""
    return items[dist.get_rank() :: dist.get_world_size()] if dist.is_initialized() else items


def gathered(share: list[T]) -> list[T]:
    """The list, in every process, whose shares (`own`) the processes hold."""
    if not dist.is_initialized():
        return share
    shares: list[list[T]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(shares, share)
    merged = [None] * sum(map(len, shares))
    for rank, part in enumerate(shares):
        merged[rank :: len(shares)] = part
    return merged
