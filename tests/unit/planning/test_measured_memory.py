"""The planner's memory against a process's own: the rings of a dictionary's training, of bfloat16 shards."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

READ = """
import json, sys, threading, time
from pathlib import Path
import torch
from rlgen.activations.batches import batches
from rlgen.activations.shards import Shards, write_manifest, write_shard
from rlgen.names import shard_name

folder, members, shards, rows, d, batch = Path(sys.argv[1]), list("abc"), 12, 20000, 512, 1024
for member in members:
    fingerprint, place_N = {"model": member, "stream": "s", "layer": 0}, torch.arange(rows)
    for i in range(shards):
        write_shard(folder / member / shard_name(i), torch.randn(rows, d).bfloat16(), *[place_N] * 3, fingerprint)
    write_manifest(folder / member, fingerprint, shards)


def own() -> int:
    line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))  # mapped files can be let go
    return 1024 * int(line.split()[1])


before, peak, over = own(), [0], threading.Event()


def watch():
    while not over.wait(0.002):
        peak[0] = max(peak[0], own())


watching = threading.Thread(target=watch)
watching.start()
coming = batches(Shards.open([folder / member for member in members], members), batch, 0, range(shards))
for _ in range(shards * rows * 3 // 2 // batch):
    next(coming)
    time.sleep(0.02)  # a step: the next ring is read meanwhile
over.set()
watching.join()
print(json.dumps(peak[0] - before))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="NOT MEASURED: memory is read from /proc")
def test_two_rings_in_the_shards_precision_are_what_reading_takes(tmp_path):
    """`Estimator._trained`: two rings of four shards. Rows as float32 would take twice as much."""
    call = [sys.executable, "-c", READ, str(tmp_path)]
    found = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
    planned = host_bytes(members=3, d=512, shard_rows=20000)
    assert 0.75 * planned < found < 1.25 * planned


def host_bytes(members: int, d: int, shard_rows: int) -> float:
    """What the planner says of a study with such shards."""
    from studies import changed, content_of

    from rlgen.planning.arithmetic import Assumptions
    from rlgen.planning.work import Estimator
    from rlgen.study import slices
    from rlgen.study.load import load

    size = {"blocks": 2, "hidden_size": d, "parameters": 1e6}
    models = {name: {"method": "load", "from": f"owner/{name}", "size": size} for name in ("base", "sft", "rl")}
    models["rl"]["earlier"] = [{"from": "owner/rl1"}, {"from": "owner/rl2"}]
    stream = {"layer": 0, "rows": 13 * shard_rows, "shard_rows": shard_rows, "windows": 1}
    content = content_of("bring-your-own")
    study = load(changed(content, models=models, stream=content["stream"] | stream))
    cfg = slices.train_dictionary(study, dictionary="base-sft-rl", recipe="batchtopk", seed="0")
    assert len(cfg["members"]) == members
    return Estimator(study, Assumptions(), Path("nowhere")).work("train_dictionary", cfg).host_bytes
