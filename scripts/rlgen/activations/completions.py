"""The completions file: reference and tuned model on the tuned one's own completions of the discovery half."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rlgen.files import ArtifactError, read_tensors


@dataclass(frozen=True)
class Completions:
    """Residual streams in raw units at N completion positions of I samples."""

    reference_Nd: torch.Tensor
    tuned_Nd: torch.Tensor
    sample_N: torch.Tensor  # index of a position's sample, int64
    tasks: list[str]
    role_of: dict[str, str]
    sample_task_I: NDArray[np.integer]  # index into tasks
    reference_correct_I: NDArray[np.bool_]
    tuned_correct_I: NDArray[np.bool_]

    @classmethod
    def load(cls, path: Path) -> "Completions":
        """Read a completions file. Raises ArtifactError naming it when it is cut short or lacks a tensor."""
        tensors, metadata = read_tensors(path)
        try:
            return cls(
                tensors["reference"],
                tensors["tuned"],
                tensors["sample"].long(),
                json.loads(metadata["tasks"]),
                json.loads(metadata["roles"]),
                tensors["sample_task"].long().numpy(),
                tensors["reference_correct"].bool().numpy(),
                tensors["tuned_correct"].bool().numpy(),
            )
        except (KeyError, ValueError) as error:
            raise ArtifactError(path, f"not a completions file ({error!r})") from error

    def of_role(self, role: str) -> torch.Tensor:
        """Which positions belong to tasks of a role, bool (N,)."""
        in_role_I = torch.tensor([self.role_of[self.tasks[task]] == role for task in self.sample_task_I.tolist()])
        return in_role_I[self.sample_N]
