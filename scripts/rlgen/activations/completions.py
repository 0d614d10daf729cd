"""The completions file: reference and tuned model on the tuned one's own completions of the discovery half."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rlgen.files import ArtifactError, read_tensors, write_tensors


@dataclass(frozen=True)
class Completions:
    """Residual streams in raw units at N completion positions of I samples."""

    reference_Nd: torch.Tensor
    tuned_Nd: torch.Tensor
    sample_N: torch.Tensor  # index of a position's sample, int64
    position_N: torch.Tensor  # from 0 at the prompt's last token, int64
    samples: list[str]
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
                tensors["position"].long(),
                json.loads(metadata["samples"]),
                json.loads(metadata["tasks"]),
                json.loads(metadata["roles"]),
                tensors["sample_task"].long().numpy(),
                tensors["reference_correct"].bool().numpy(),
                tensors["tuned_correct"].bool().numpy(),
            )
        except (KeyError, ValueError) as error:
            raise ArtifactError(path, f"not a completions file ({error!r})") from error

    def save(self, path: Path) -> None:
        """Write a completions file, with every position's task beside its sample for those who read it elsewhere."""
        sample_task_I = torch.from_numpy(self.sample_task_I).int()
        tensors = {
            "reference": self.reference_Nd,
            "tuned": self.tuned_Nd,
            "sample": self.sample_N.int(),
            "position": self.position_N.int(),
            "task": sample_task_I[self.sample_N],
            "sample_task": sample_task_I,
            "reference_correct": torch.from_numpy(self.reference_correct_I.astype(np.uint8)),
            "tuned_correct": torch.from_numpy(self.tuned_correct_I.astype(np.uint8)),
        }
        texts = {"tasks": self.tasks, "roles": self.role_of, "samples": self.samples}
        write_tensors(path, tensors, {name: json.dumps(value) for name, value in texts.items()})

    def of_role(self, role: str) -> torch.Tensor:
        """Which positions belong to tasks of a role, bool (N,)."""
        in_role_I = torch.tensor([self.role_of[self.tasks[task]] == role for task in self.sample_task_I.tolist()])
        return in_role_I[self.sample_N]

    def samples_of_role(self, role: str) -> NDArray[np.bool_]:
        """Which samples that have positions are of tasks of a role, in the order of their numbers (K,)."""
        return np.isin(self.sample_N.unique().numpy(), self.sample_N[self.of_role(role)].unique().numpy())
