"""How numeric work starts: what is asked of CUDA, and when. Workers of vLLM are forked where nobody says otherwise."""

import re
import subprocess
import sys

import pytest
from script_files import script_file

ASKED = """
import json, os, runpy, sys, torch

def asked(*_):
    names = ("PYTORCH_NVML_BASED_CUDA_CHECK", "VLLM_WORKER_MULTIPROC_METHOD")
    print(json.dumps([os.environ.get(name) for name in names]))
    return False

torch.cuda.is_available = torch.cuda.device_count = asked
"""
START = """
from rlgen.compute import start
start(1)
"""
IMPORTS = """
import rlgen.compute
from pydantic import BaseModel
from types import SimpleNamespace

class Started(Exception):
    pass

def start(threads):
    raise Started

rlgen.compute.start = start
BaseModel.model_validate_json = classmethod(lambda *_: SimpleNamespace(threads=1))
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except Started:
    print("started")
"""


def said(code: str, *arguments: str) -> list[str]:
    call = [sys.executable, "-c", ASKED + code, *arguments]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.splitlines()


def test_cuda_is_asked_in_a_way_that_spoils_no_fork():
    assert said(START) == ['["1", "spawn"]']


@pytest.mark.parametrize("script", ["train_grpo", "write_trajectories", "evaluate_benchmarks"])
def test_scripts_that_may_run_vllm_ask_nothing_before(script):
    path = script_file(script)
    options = re.findall(r'add_argument\(\s*"(--[\w-]+)"', path.read_text())
    assert said(IMPORTS, str(path), *(word for name in options for word in (name, "x"))) == ["started"]
