"""How numeric work runs: thread count and determinism belong to the study, not to the machine."""

import os

import torch


def start(threads: int) -> torch.device:
    """Fix threads and determinism before any numeric work; returns the device to work on.

    A GPU is used where one is visible; results are byte-reproducible on CPU only.
    """
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        return torch.device("cuda")
    torch.use_deterministic_algorithms(True)
    return torch.device("cpu")
