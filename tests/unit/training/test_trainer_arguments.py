"""Arguments of TRL's trainers: those of small runs as they were, those of a real model as the study says."""

import json

import pytest
from pydantic import ValidationError

from rlgen.training.settings import GRPO, SFT, GRPOScale, Scale
from rlgen.training.trainer import arguments

SMALL = {
    "bf16": False,
    "activation_checkpointing": False,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "logging_steps": 1,
    "logging_strategy": "steps",
    "lr_scheduler_type": "constant",
    "num_train_epochs": 1,
    "dataloader_num_workers": 0,
    "per_device_train_batch_size": 32,
    "weight_decay": 0.0,
}
PAPER = {"parent": "base", "batch_size": 128, "examples": 46976, "learning_rate": 5e-5}


def test_without_a_scale_nothing_has_changed_and_nothing_is_said_of_one():
    assert arguments(None, 32) == SMALL
    for small in (SFT(parent="base"), GRPO(parent="base")):
        assert "scale" not in small.model_dump() and "scale" not in json.loads(small.model_dump_json())


def test_what_is_left_of_the_batch_is_accumulated():
    scale = Scale(gpus=8, per_device_batch=2, schedule="cosine", warmup_share=0.05, betas=(0.9, 0.95), clip=0.5)
    found = arguments(scale, 128)
    assert found["per_device_train_batch_size"] * 8 * found["gradient_accumulation_steps"] == 128
    assert found["bf16"] and found["activation_checkpointing"] and found["save_strategy"] == "no"
    assert (found["lr_scheduler_type"], found["warmup_steps"]) == ("cosine", 0.05)
    assert (found["adam_beta1"], found["adam_beta2"], found["max_grad_norm"]) == (0.9, 0.95, 0.5)
    exact = arguments(Scale(precision="float32", gradient_checkpointing=False), 4)
    assert not exact["bf16"] and not exact["activation_checkpointing"] and exact["gradient_accumulation_steps"] == 4


@pytest.mark.slow
def test_trl_takes_every_argument_and_warms_up_over_a_share_of_the_steps(tmp_path):
    from trl import SFTConfig

    args = SFTConfig(output_dir=str(tmp_path), use_cpu=True, **arguments(Scale(warmup_share=0.1), 4))
    assert args.get_warmup_steps(200) == 20 and args.bf16


@pytest.mark.parametrize(
    ("settings", "scale", "told"),
    [
        (SFT, {"gpus": 3, "per_device_batch": 2}, "per_device_batch=2 x gpus=3 = 6 does not divide the batch of 128"),
        (SFT, {"max_cut_share": 1.5}, "less than or equal to 1"),
        (SFT, {"vllm": "none"}, "Extra inputs are not permitted"),
        (
            GRPO,
            {"per_device_batch": 48},
            "per_device_batch=48 x gpus=1 = 48 does not divide the batch of 128 sequences",
        ),
        (GRPO, {"max_length": 16}, "max_new_tokens=16 leaves no room for a prompt in scale.max_length=16"),
        (GRPO, {"vllm_memory_share": 1}, "less than 1"),
    ],
)
def test_a_scale_that_cannot_be_is_refused_by_field(settings, scale, told):
    fields = PAPER if settings is SFT else {"parent": "base", "prompts_per_step": 16, "rollouts": 8}
    with pytest.raises(ValidationError, match=told):
        settings(**fields, scale=scale)


def test_a_scale_survives_the_way_to_the_job():
    model = GRPO(parent="base", scale=GRPOScale(gpus=4))
    assert GRPO.model_validate_json(json.dumps(model.model_dump(mode="json"))) == model
