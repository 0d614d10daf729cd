"""How numeric work runs: thread count and determinism belong to the study, not to the machine."""

import os

import torch

# What asks CUDA itself whether there is a GPU spoils CUDA for the processes forked later, and vLLM forks its workers;
# NVML says the same without CUDA. vLLM takes to spawning by itself only where it sees that CUDA is in use.
FOR_FORKS = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}


def start(threads: int) -> torch.device:
    """Fix threads and determinism before any numeric work; returns the device to work on.

    A GPU is used where one is visible; results are byte-reproducible on CPU only.
    """
    for name, value in FOR_FORKS.items():
        os.environ.setdefault(name, value)
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        return torch.device("cuda")
    torch.use_deterministic_algorithms(True)
    return torch.device("cpu")
