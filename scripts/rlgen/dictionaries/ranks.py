"""Several processes that train one dictionary together, each on its part of the rows of every batch.

Every process holds all weights. A batch is still one batch: the cut of BatchTopK, which latents fired, losses and
gradients are those of all its rows, so the result is that of one process up to the order of sums. Started by

    torchrun --nproc-per-node=N scripts/dictionaries/train_dictionary.py ...

Shapes: B rows of a batch, S latents, M members, d width.
"""

import os
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist

from rlgen.dictionaries.objectives import kth_largest, reconstruction_loss
from rlgen.dictionaries.parameters import Outcome


@dataclass(frozen=True)
class Ranks:
    """All processes and this one's place among them. Alone, nothing is exchanged."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.rank == 0

    def rows(self, own: int, batch_rows: int) -> int:
        """Rows of the whole batch of which this process has `own`."""
        return own if self.size == 1 else batch_rows

    def part(self, rows: int) -> tuple[int, int]:
        """(i, n): this process takes the i-th of n parts of every batch. Raises ValueError for too few rows."""
        if rows < self.size:
            raise ValueError(f"batch_rows={rows}: {self.size} processes, expected at least a row for each")
        return self.rank, self.size

    def sum(self, *tensors: torch.Tensor) -> None:
        """Make each of the tensors its sum over all processes."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def kth_largest(self, values: torch.Tensor, k: int) -> torch.Tensor:
        """The k-th largest of the values (not negative) of all processes, exactly, in one exchange of k per process.

        No value outside its own process's k largest can be among the k largest of all.
        """
        if self.size == 1:
            return kth_largest(values, k)
        candidates = values.flatten().topk(min(k, values.numel()), sorted=False).values
        candidates = torch.nn.functional.pad(candidates, (0, k - len(candidates)))
        everyones = [torch.empty_like(candidates) for _ in range(self.size)]
        dist.all_gather(everyones, candidates)
        return kth_largest(torch.cat(everyones), k)

    def sum_outcome(self, outcome: Outcome) -> Outcome:
        """What a step found in all rows of a batch; the losses of each process are divided by all its rows already."""
        if self.size == 1:
            return outcome
        numbers = torch.stack([outcome.loss, outcome.reconstruction_loss, outcome.active.to(outcome.loss.dtype)])
        fired_S = outcome.fired_S.to(numbers.dtype)
        self.sum(numbers, fired_S)
        loss, reconstruction, active = numbers
        return replace(outcome, loss=loss, reconstruction_loss=reconstruction, active=active, fired_S=fired_S > 0)

    def variance(self, rows_BMd: torch.Tensor, rows: int) -> torch.Tensor:
        """sum_m ||h_m - mean_m||^2, mean over the `rows` rows of all processes."""
        mean_Md = rows_BMd.sum(0) / rows
        self.sum(mean_Md)
        total = reconstruction_loss(rows_BMd, mean_Md.expand_as(rows_BMd)) * (len(rows_BMd) / rows)
        self.sum(total)
        return total


ALONE = Ranks()


def join(device: torch.device) -> Ranks:
    """Meet the other processes that torchrun started; alone without it. On GPUs each process takes its own."""
    if "WORLD_SIZE" not in os.environ:
        return ALONE
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(dist.get_rank(), dist.get_world_size())


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()
