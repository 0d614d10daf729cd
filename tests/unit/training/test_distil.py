"""Distillation: both models compute in the precision that was asked for."""

import copy

import pytest
import torch
from datasets import Dataset

from rlgen.models.checkpoints import blocks
from rlgen.organism.settings import Split
from rlgen.organism.tasks import training_examples
from rlgen.training.distil import train
from rlgen.training.settings import Distil, Scale
from rlgen.training.trainer import Run


@pytest.mark.parametrize("precision", ["bf16", "float32"])
@pytest.mark.parametrize("again", [False, True], ids=["activations kept", "computed again"])
def test_student_and_teacher_compute_in_the_precision_asked_for(tiny_model, tokenizer, tmp_path, precision, again):
    """The teacher is the student: where both round alike nothing differs."""
    student, teacher, seen = copy.deepcopy(tiny_model), copy.deepcopy(tiny_model), set()

    def see(model):
        def hook(_module, _inputs, out):
            if model is teacher or torch.is_grad_enabled():  # the student writes its completions without
                seen.add(("teacher" if model is teacher else "student", out.dtype))

        blocks(model)[1].mlp.down_proj.register_forward_hook(hook)

    see(student)
    see(teacher)
    prompts = [example.prompt for example in training_examples(["add"], 2, "s", Split(), seed=0)]
    rows = Dataset.from_list([{"prompt": prompt} for prompt in prompts])
    scale = Scale(precision=precision, gradient_checkpointing=again, per_device_batch=1)
    settings = Distil(
        parent="base", teacher="base", prompts=2, prompts_per_step=2, max_new_tokens=4, checkpoints=1, scale=scale
    )
    curves = train(student, teacher, tokenizer, rows, settings, Run("distilled", 0, tmp_path, None, torch.float32))
    expected = torch.bfloat16 if precision == "bf16" else torch.float32
    assert seen == {("student", expected), ("teacher", expected)}
    assert next(row["value"] for row in curves if row["metric"] == "loss") == 0
