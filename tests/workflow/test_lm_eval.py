"""lm-eval, given nothing but our checkpoint and our task files, reports the accuracy that we report."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from rlgen.behaviour.evaluator import Evaluator
from rlgen.behaviour.settings import Evaluation
from rlgen.models.checkpoints import save_checkpoint
from rlgen.organism import families, tasks, tokenizer
from rlgen.organism.pretraining import new_model, train
from rlgen.organism.settings import Architecture, OrganismData, Pretrain, Split
from rlgen.progress import Progress
from rlgen.resume import Resume
from rlgen.tasks.samples import write_rows

TASK, SETTINGS = "par", Evaluation(prompts_per_half=40)
LM_EVAL = """
import json, lm_eval
from lm_eval.tasks import TaskManager
results = lm_eval.simple_evaluate(
    model="hf", model_args="pretrained=checkpoint1", tasks=["par"], batch_size=16,
    task_manager=TaskManager(include_path="tasks", include_defaults=False), device="cpu", log_samples=True,
)
accuracy = results["results"]["par"]["exact_match,answer"]
prompts = {s["doc"]["prompt"]: bool(s["exact_match"]) for s in results["samples"]["par"]}
json.dump({"accuracy": accuracy, "prompts": prompts}, open("lm_eval.json", "w"))
"""


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """A folder with a briefly trained checkpoint and one task; per test prompt whether the model is right."""
    folder = tmp_path_factory.mktemp("lm_eval")
    data = OrganismData(families=[TASK], problems_per_document=1)
    words = tokenizer.build(families.vocabulary([TASK]), families.BOS, families.EOS, families.PAD)
    model = new_model(Architecture(hidden_size=32, layers=2, heads=2, intermediate_size=64), words, seed=0)
    settings = Pretrain(steps=200, batch_documents=8, warmup_steps=5)
    train(model, words, settings, data, "s", 0, Progress("pretraining", settings.steps, "steps"), Resume(None))
    save_checkpoint(model, words, folder / "checkpoint1")
    samples = tasks.evaluation_samples(TASK, "selection", SETTINGS.prompts_per_half, "s", Split())
    write_rows(folder / "tasks" / f"{TASK}.jsonl", samples)
    task = tasks.lm_eval_task(TASK, f"tasks/{TASK}.jsonl", SETTINGS)
    (folder / "tasks" / f"{TASK}.yaml").write_text(yaml.safe_dump(task))
    scores = Evaluator(samples, words, SETTINGS.max_new_tokens, SETTINGS.answer_marker, 100).score(model)
    right = {s.prompt: bool(c) for s, c in zip(samples, scores.correct_B, strict=True) if s.half == "test"}
    return folder, right


def test_lm_eval_gives_our_accuracy(ours):
    folder, right = ours
    assert 0 < sum(right.values()) < len(right) == 40  # worth comparing
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", LM_EVAL], cwd=folder, env=environment, check=True, capture_output=True)
    theirs = json.loads((folder / "lm_eval.json").read_text())
    assert theirs["prompts"] == right
    assert theirs["accuracy"] == pytest.approx(sum(right.values()) / len(right))
