"""Runs a training script with weights shared between CPU processes: torch can do that, accelerate asks on GPUs only.

    python -m rlgen.jobs.launch launch 2 tests/workflow/fsdp_on_cpu.py scripts/models/train_sft.py ARGUMENTS

The one thing changed is accelerate's decision for FSDP, in the state that all of its parts read.
"""

import runpy
import sys

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

start = AcceleratorState.__init__


def start_with_fsdp(self, *arguments, fsdp_plugin=None, **options) -> None:
    start(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
    if fsdp_plugin is not None and PartialState._shared_state["distributed_type"] != DistributedType.FSDP:
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        if self._mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self._mixed_precision)
        self.fsdp_plugin = fsdp_plugin


AcceleratorState.__init__ = start_with_fsdp
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
