"""Who generates and who judges: arguments that TRL takes, and what cannot run refused before a model is loaded."""

import inspect
import sys
from types import ModuleType

import pytest
import torch
from tiny_models import tiny_checkpoint

from rlgen.files import ArtifactError
from rlgen.models.checkpoints import load_model, load_tokenizer
from rlgen.tasks.samples import Example
from rlgen.training import rollouts
from rlgen.training.rollouts import check_generator, generation, judge, text_of
from rlgen.training.settings import GRPO, GRPOScale, TrainGRPO
from rlgen.training.texts import prompt_rows, set_end_token
from rlgen.training.trainer import Run, arguments


def cfg(marker: str | None, scale: GRPOScale | None = None, **fields) -> TrainGRPO:
    return TrainGRPO(
        seed=0, threads=1, name="rl", chat=True, answer_marker=marker, model=GRPO(parent="base", scale=scale, **fields)
    )


def test_with_a_marker_the_word_behind_it_is_compared():
    with judge(";") as right:
        assert right(["1 ; 4 .", "4", "a ; 5"], ["4", "4", "4"]) == [True, False, False]


def test_without_one_math_verify_is_asked_with_the_settings_of_the_study(monkeypatch):
    asked = []

    class AnswerChecker:
        def __init__(self, workers, timeout_s):
            asked.append((workers, timeout_s))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            asked.append("ended")

        def right(self, completions, golds):
            return [text.endswith(gold) for text, gold in zip(completions, golds, strict=True)]

    module = ModuleType("rlgen.tasks.math_answers")
    module.AnswerChecker = AnswerChecker
    monkeypatch.setitem(sys.modules, "rlgen.tasks.math_answers", module)
    with judge(None, 3, 7.5) as right:
        assert right(["it is 4", "it is 5"], ["4", "4"]) == [True, False]
    assert asked == [(3, 7.5), "ended"]


@pytest.mark.slow
def test_math_verify_itself_judges_in_processes_of_its_own():
    with judge(None, workers=1) as right:
        assert right([r"so \boxed{\frac{2}{4}}", r"so \boxed{\frac{2}{5}}"], ["0.5", "0.5"]) == [True, False]


def test_the_text_of_a_turn_is_its_content():
    assert text_of("4") == "4" and text_of([{"role": "assistant", "content": "it is 4"}]) == "it is 4"


@pytest.mark.parametrize(
    ("scale", "gpus", "vllm", "told"),
    [
        (GRPOScale(vllm="colocate"), 1, False, "scale.vllm: colocate, but vllm is not installed"),
        (GRPOScale(vllm="server"), 1, False, "scale.vllm: server, but vllm is not installed"),
        (GRPOScale(vllm="colocate"), 0, True, "scale.vllm: colocate, but there is no GPU here"),
        (GRPOScale(vllm="none", gpus=2), 2, True, "scale.vllm: none on 2 GPUs, expected colocate or server"),
        (GRPOScale(vllm="none", gpus=2), 0, False, None),
        (GRPOScale(vllm="colocate", gpus=2), 2, True, None),
        (GRPOScale(vllm="server"), 0, True, None),
        (None, 0, False, None),
    ],
)
def test_a_generator_that_cannot_run_is_refused(monkeypatch, scale, gpus, vllm, told):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(rollouts.importlib.util, "find_spec", lambda name: object() if vllm else None)
    if told is None:
        check_generator(scale)
        return
    with pytest.raises(ArtifactError) as error:
        check_generator(scale)
    assert str(error.value).startswith(told)


def test_the_papers_batch_over_eight_gpus():
    """16 prompts x 8 rollouts = 128 sequences = 8 GPUs x 4 at a time x 4 passes, with completions drawn in one go."""
    scale = GRPOScale(gpus=8, per_device_batch=4)
    found = arguments(scale, 128) | generation(scale, 128, end=7)
    assert (found["per_device_train_batch_size"], found["gradient_accumulation_steps"]) == (4, 4)
    assert found["steps_per_generation"] == 4 and "generation_kwargs" not in found
    assert found["vllm_importance_sampling_mode"] == "token_truncate" and not found["vllm_enable_sleep_mode"]
    assert generation(None, 128, end=7) == {"steps_per_generation": 1}
    assert generation(GRPOScale(vllm="none"), 4, end=7) == {"steps_per_generation": 4}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scale", "told"),
    [
        (
            GRPOScale(
                vllm_memory_share=0.4, vllm_sleep=True, per_device_batch=4, max_length=60, end_token="<|im_end|>"
            ),
            {
                "mode": "colocate",
                "gpu_memory_utilization": 0.4,
                "enable_sleep_mode": True,
                "generation_kwargs": {"stop_token_ids": [3]},
            },
        ),
        (
            GRPOScale(vllm="server", vllm_host="node7", vllm_port=8123, per_device_batch=4, max_length=60),
            {"mode": "server", "server_host": "node7", "server_port": 8123, "generation_kwargs": None},
        ),
    ],
)
def test_vllm_is_told_what_the_study_says_and_asked_once_a_step(monkeypatch, tmp_path, scale, told):
    """A stand-in for TRL's part that talks to vLLM, held to its signature; all else is TRL's own loop, on the CPU."""
    from trl.trainer import grpo_trainer

    from rlgen.training.grpo import train

    real, calls = grpo_trainer.VLLMGeneration, {"sync": 0, "prompts": []}

    class StandIn:
        def __init__(self, **given):
            bound = inspect.signature(real).bind(**given)
            assert {name: bound.arguments[name] for name in told} == told
            assert bound.arguments["max_model_length"] == 60 and bound.arguments["max_completion_length"] == 10
            assert (bound.arguments["temperature"], bound.arguments["top_p"], bound.arguments["top_k"]) == (1.0, 1.0, 0)
            self.vllm_client = self

        def get_server_info(self):
            return {"model_config": {"logprobs_mode": "processed_logprobs"}}

        def sync_weights(self):
            calls["sync"] += 1

        def generate(self, **given):
            bound = inspect.signature(real.generate).bind(self, **given)
            prompts = bound.arguments["prompts"]
            calls["prompts"].append([tuple(ids) for ids in prompts])
            ids = [[5 + i, 6, 3][i % 2 :] for i in range(len(prompts))]
            return prompts, ids, [[[-5.0] for _ in text] for text in ids], None

    monkeypatch.setattr(grpo_trainer, "VLLMGeneration", StandIn)
    settings = {"prompts": 8, "prompts_per_step": 4, "rollouts": 2, "max_new_tokens": 10, "checkpoints": 2}
    parent = tiny_checkpoint(tmp_path / "parent")
    job = cfg(None, scale.model_copy(update={"precision": "float32"}), **settings)
    tokenizer = load_tokenizer(parent)
    set_end_token(tokenizer, parent, scale)
    rows = prompt_rows([Example(f"What is {i}?", "", str(i)) for i in range(8)], tokenizer, parent, job)
    into = Run("rl", 0, tmp_path / "output", None, torch.float32)
    curves = train(
        load_model(parent), tokenizer, rows, job.model, lambda texts, golds: [len(t) > 1 for t in texts], into
    )
    assert calls["sync"] == 2 and [len(prompts) for prompts in calls["prompts"]] == [8, 8]  # 2 steps of 2 passes
    assert all(len(set(prompts)) == 4 for prompts in calls["prompts"])
    assert {row["step"] for row in curves if row["metric"] == "reward"} == {1, 2}
    ratio = {row["step"]: row["value"] for row in curves if row["metric"] == "importance_ratio"}
    assert ratio.keys() == {1, 2} and all(0 < value <= 3 for value in ratio.values())  # every token counts, up to 3
