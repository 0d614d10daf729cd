"""Estimates of jobs that write solutions and of those that train on them."""

from typing import Any

from rlgen.activations.disk import BYTES
from rlgen.planning.arithmetic import ModelSize, hours
from rlgen.planning.estimates import Work, precision_of
from rlgen.planning.quantities import Quantities, Settings
from rlgen.planning.sizes import NotEstimated
from rlgen.teacher.settings import OwnSolutions
from rlgen.training.settings import DPO, SFT, GRPOScale, Scale, TrainDistil, TrainGRPO

FLOAT32 = BYTES["float32"]  # of a second model that a trainer loads


class Trainings(Quantities):
    """Estimates of solutions, and of what learns from them or by writing its own."""

    def _write_trajectories(self, cfg: Settings) -> Work:
        teacher, size = self.study.data.teacher, self.teacher_size()
        tokens = self.problems() / teacher.shards * teacher.samples_per_prompt * self._solution(teacher.max_new_tokens)
        weights, gpus = BYTES.get(teacher.dtype, 2) * size.parameters, max(1, teacher.gpus)
        time = self._generated(size, tokens, teacher.max_new_tokens, teacher.backend != "transformers", gpus)
        return Work(time, tokens, gpus, weights / gpus, weights)

    def _sample_solutions(self, cfg: Settings) -> Work:
        """By vLLM, as wherever it is installed and there is a GPU."""
        how = OwnSolutions.model_validate(cfg["solutions"])
        size = self.size(how.of)
        tokens = how.prompts * how.per_prompt * self._solution(how.max_new_tokens)
        weights = size.saved * size.parameters
        return Work(self._generated(size, tokens, how.max_new_tokens, True, 1), tokens, 1, weights, weights)

    def _train_sft(self, cfg: Settings) -> Work:
        model = SFT.model_validate(cfg["model"])
        scale, size = self._scale(cfg["name"], model.scale), self.size(cfg["name"])
        length = self._learnt(model, scale)
        tokens = model.examples * length
        flops = size.training(tokens, length, scale.gradient_checkpointing)
        memory, models = self._training_bytes(size, scale), 1
        if model.holds:  # the parent reads every text up to the edited block, on the same GPU
            flops += size.forward(tokens, length, self.study.stream.layer + 1)
            memory, models = memory + FLOAT32 * size.parameters, 2
        time = hours(flops, self._dense(precision_of(scale.precision)), scale.gpus)
        return Work(time, tokens, scale.gpus, memory, models * FLOAT32 * size.parameters)

    def _train_dpo(self, cfg: Settings) -> Work:
        """Both solutions of a pair are trained on, and read by the parent, whose weights are shared, too."""
        model = DPO.model_validate(cfg["model"])
        scale, size = self._scale(cfg["name"], model.scale), self.size(cfg["name"])
        length = self._learnt(model, scale)
        tokens = 2 * model.pairs * length
        flops = size.training(tokens, length, scale.gradient_checkpointing) + size.forward(tokens, length)
        time = hours(flops, self._dense(precision_of(scale.precision)), scale.gpus)
        memory = self._training_bytes(size, scale, sides=2) + FLOAT32 * size.parameters / scale.gpus
        return Work(time, tokens, scale.gpus, memory, 2 * FLOAT32 * size.parameters)

    def _train_grpo(self, cfg: Settings) -> Work:
        """GRPO and RLOO."""
        model = TrainGRPO.model_validate(cfg).model
        scale, size = self._scale(cfg["name"], model.scale), self.size(cfg["name"])
        length = self._solution(model.max_new_tokens)
        tokens = model.prompts * model.rollouts * length
        flops = size.training(tokens, length, scale.gradient_checkpointing)
        # Log-probabilities of the sampled text: under its sampler's weights (TRL's GRPO computes them where vLLM wrote
        # it, its RLOO always), and under the parent's.
        flops += size.forward(tokens, length) * ((scale.vllm != "none" or model.method == "rloo") + (model.beta > 0))
        time = hours(flops, self._dense(precision_of(scale.precision)), scale.gpus)
        at_once = model.prompts_per_step * model.rollouts / scale.gpus
        time += self._generated(size, tokens, model.max_new_tokens, scale.vllm != "none", scale.gpus, at_once)
        # A step waits for its longest solution, which in the end is written alone.
        alone = model.prompts / model.prompts_per_step * max(0.0, model.max_new_tokens - length)
        time += self.assumed.moved(alone * 2 * size.parameters)
        # FSDP gathers bfloat16 weights twice per pass, and reduces gradients once: counted as moved in memory.
        passes = tokens / length / scale.per_device_batch / scale.gpus
        time += self.assumed.moved(passes * 3 * 2 * size.parameters) if scale.gpus > 1 else 0
        return Work(time, tokens, scale.gpus, self._memory_of_rl(size, scale), FLOAT32 * size.parameters)

    def _memory_of_rl(self, size: ModelSize, scale: GRPOScale) -> float:
        memory = self._training_bytes(size, scale)
        if scale.vllm != "colocate":
            return memory
        share = scale.vllm_memory_share * self.assumed.gpu_memory_gb * 1e9
        return max(memory, share) if scale.vllm_sleep else memory + share

    def _train_distil(self, cfg: Settings) -> Work:
        """On one GPU: transformers writes, the student is trained on it, and its teacher reads it."""
        model = TrainDistil.model_validate(cfg).model
        scale, size = self._scale(cfg["name"], model.scale), self.size(cfg["name"])
        teacher, length = self.size(model.teacher), self._solution(model.max_new_tokens)
        tokens = model.prompts * length
        flops = size.training(tokens, length, scale.gradient_checkpointing) + teacher.forward(tokens, length)
        time = hours(flops, self._dense(precision_of(scale.precision)))
        time += self._generated(size, tokens, model.max_new_tokens, False, 1)
        memory = self._training_bytes(size, scale) + FLOAT32 * teacher.parameters
        return Work(time, tokens, 1, memory, FLOAT32 * (size.parameters + teacher.parameters))

    def _scale(self, name: str, scale: Scale | None) -> Any:
        if scale is None:
            raise NotEstimated(f"models.{name}.scale is missing")
        return scale

    def _learnt(self, model: SFT | DPO, scale: Scale) -> float:
        """Tokens of a prompt and a solution that is learnt from."""
        own = self.study.solutions.get(model.solutions) if model.solutions else None
        return self._solution(min(scale.max_length, own.max_new_tokens) if own else scale.max_length)
