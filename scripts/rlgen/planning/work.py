"""What each job of a study amounts to: tokens, hours, memory. One method per script, which reads the settings of a job.

The hours are estimates from stated assumptions (`rlgen.planning.arithmetic`); `rlgen.planning.measured` replaces them.

Shapes: M members, d width, S latents.
"""

from collections.abc import Callable

from rlgen.activations.disk import BYTES, shard_bytes
from rlgen.activations.settings import RING, Harvested, read_together
from rlgen.dictionaries.settings import Recipe
from rlgen.models.gguf_header import is_gguf
from rlgen.planning.arithmetic import dictionary_bytes, dictionary_flops, dictionary_moved, hours
from rlgen.planning.causes import Causes
from rlgen.planning.estimates import DictionaryTraining, Work, precision_of
from rlgen.planning.quantities import Settings
from rlgen.planning.sizes import NotEstimated, gguf_size
from rlgen.training.settings import SFT, TrainGRPO

NO_ESTIMATE = "no estimate for this work"
SHIFTS = 2  # mean shifts among an edit's rivals: selection tasks, in-domain tasks


class Estimator(Causes):
    """Estimates of a study's jobs, by script and settings."""

    def work(self, script: str, cfg: Settings) -> Work:
        """One job of a script. Raises NotEstimated, saying why."""
        estimate: Callable[[Settings], Work] | None = getattr(self, f"_{script}", None)
        if estimate is None:
            raise NotEstimated(NO_ESTIMATE)
        return estimate(cfg)

    # Data and models.

    def _write_trajectories(self, cfg: Settings) -> Work:
        teacher, size = self.study.data.teacher, self.teacher_size()
        tokens = self.problems() / teacher.shards * teacher.samples_per_prompt * self._solution(teacher.max_new_tokens)
        weights, gpus = BYTES.get(teacher.dtype, 2) * size.parameters, max(1, teacher.gpus)
        time = self._generated(size, tokens, teacher.max_new_tokens, teacher.backend != "transformers", gpus)
        return Work(time, tokens, gpus, weights / gpus, weights)

    def _train_sft(self, cfg: Settings) -> Work:
        model = SFT.model_validate(cfg["model"])
        scale, size = model.scale, self.size(cfg["name"])
        if scale is None:
            raise NotEstimated(f"models.{cfg['name']}.scale is missing")
        length = self._solution(scale.max_length)
        tokens = model.examples * length
        flops = size.training(tokens, length, scale.gradient_checkpointing)
        memory = self._training_bytes(size, scale)
        time = hours(flops, self._dense(precision_of(scale.precision)), scale.gpus)
        return Work(time, tokens, scale.gpus, memory, 4 * size.parameters)

    def _train_grpo(self, cfg: Settings) -> Work:
        model = TrainGRPO.model_validate(cfg).model
        scale, size = model.scale, self.size(cfg["name"])
        if scale is None:
            raise NotEstimated(f"models.{cfg['name']}.scale is missing")
        length = self._solution(model.max_new_tokens)
        tokens = model.prompts * model.rollouts * length
        flops = size.training(tokens, length, scale.gradient_checkpointing)
        # Log-probabilities of the sampled text: under the sampler's weights where vLLM wrote it, under the parent's.
        flops += size.forward(tokens, length) * ((scale.vllm != "none") + (model.beta > 0))
        time = hours(flops, self._dense(precision_of(scale.precision)), scale.gpus)
        at_once = model.prompts_per_step * model.rollouts / scale.gpus
        time += self._generated(size, tokens, model.max_new_tokens, scale.vllm != "none", scale.gpus, at_once)
        # A step waits for its longest solution, which in the end is written alone.
        alone = model.prompts / model.prompts_per_step * max(0.0, model.max_new_tokens - length)
        time += self.assumed.moved(alone * 2 * size.parameters)
        # FSDP gathers bfloat16 weights twice per pass, and reduces gradients once: counted as moved in memory.
        passes = tokens / length / scale.per_device_batch / scale.gpus
        time += self.assumed.moved(passes * 3 * 2 * size.parameters) if scale.gpus > 1 else 0
        memory = self._training_bytes(size, scale)
        if scale.vllm == "colocate":
            share = scale.vllm_memory_share * self.assumed.gpu_memory_gb * 1e9
            memory = max(memory, share) if scale.vllm_sleep else memory + share
        return Work(time, tokens, scale.gpus, memory, 4 * size.parameters)

    def _import_model(self, cfg: Settings) -> Work:
        stated = cfg.get("size")
        if is_gguf(cfg["sources"][-1]["from"]):  # float32, as read and as a model
            return Work(host_bytes=8 * gguf_size(cfg["sources"][-1]["from"]).parameters)
        return Work(host_bytes=2 * stated["parameters"] if stated else None)

    def _evaluate_benchmarks(self, cfg: Settings) -> Work:
        size, e, n = self.size(cfg["model"]), self.study.evaluation, len(cfg["states"])
        asked = [self._asked(task) for task in cfg["benchmarks"]]
        read = n * sum(prompts * choices * self._choice for prompts, choices in asked)
        written = n * sum(prompts * self._solution(e.max_new_tokens) for prompts, choices in asked if not choices)
        time = hours(size.forward(read, self._choice), self._dense())
        time += self._generated(size, written, e.max_new_tokens, e.backend == "vllm", 1)
        return Work(time, read + written, 1, 2 * size.parameters, 2 * size.parameters)

    # Activations.

    def _harvest(self, cfg: Settings) -> Work:
        kept, size = Harvested.model_validate(cfg["stream"]), self.size(cfg["states"][0])
        length = self.study.stream.sequence_tokens
        tokens = len(cfg["states"]) * kept.rows * length / (length - 1)  # the first token of a sequence is no row
        shard = shard_bytes(kept, size.hidden_size)
        moved = len(cfg["states"]) * kept.shards * shard
        flops = size.forward(tokens, length, kept.layer + 1)
        time = hours(flops, self._dense(kept.precision), 1, moved, self.assumed.disk_gb_s)
        weights = BYTES[kept.precision] * size.parameters
        together = len(read_together(kept.shards, kept.shard_rows, mixed_lengths=True)[0])
        return Work(time, tokens, 1, weights, weights + together * shard)

    def _harvest_benchmark_completions(self, cfg: Settings) -> Work:
        size, e = self.size(cfg["tuned"]), self.study.evaluation
        texts = self._discovered()
        tokens = 2 * sum(prompts * length for prompts, length in texts)  # two models read the discovery half
        length = max((length for _, length in texts), default=0)
        time = hours(size.forward(tokens, length, cfg["layer"] + 1), self._small())
        rows = sum(prompts * min(e.completion_tokens, length) for prompts, length in texts)
        return Work(time, tokens, 1, 4 * size.parameters, 4 * size.parameters + rows * 2 * 4 * size.hidden_size)

    # Dictionaries.

    def _train_window(self, cfg: Settings) -> Work:
        stream = self.study.stream
        steps = cfg["recipe"]["steps"] / cfg.get("windows", 1)
        return self._trained(cfg, steps, stream.training_shards // cfg.get("windows", 1))

    _train_dictionary = _train_window

    def _trained(self, cfg: Settings, steps: float, shards: int) -> Work:
        recipe, M, d = Recipe.model_validate(cfg["recipe"]), len(cfg["members"]), self._width(cfg)
        rows, row = steps * recipe.batch_rows, M * d * BYTES[self.study.stream.precision]
        flops = dictionary_flops(rows, M, d, recipe.latents, recipe.hidden_units)
        moved = rows * row
        busy = hours(flops, self._dense(recipe.precision)) + self.assumed.moved(dictionary_moved(rows, M, d, recipe))
        time = max(busy, hours(0, 1, 1, moved, self.assumed.disk_gb_s))
        training = DictionaryTraining(
            f"{recipe.objective} {recipe.precision}", flops, hours(0, 1, 1, moved, self.assumed.disk_gb_s)
        )
        # Host: two rings of shards (rlgen.activations.batches).
        host = 2 * min(RING, shards) * self.study.stream.shard_rows * row
        memory = dictionary_bytes(M, d, recipe)
        return Work(time, rows, 1, memory, host, training)

    def _measure_dictionary(self, cfg: Settings) -> Work:
        M, d, S = len(cfg["members"]), self._width(cfg), self._latents
        rows, length = cfg["held_out_shards"] * self.study.stream.shard_rows, self.study.stream.sequence_tokens
        # Encoders and decoders: the joint code, every member's own, the features' sums, their contexts.
        flops = rows * (2 * M * d * S * (2 + 2 + 1) + M * (2 * d * S + 2 * M * d * S))
        time = hours(flops, self._dense("float32"))
        sizes = [self.size(member) for member in cfg["members"]]
        for size in sizes if not cfg["permute_shift"] else ():
            whole = size.forward(rows, length)
            above = whole - size.forward(rows, length, self.study.stream.layer + 1)
            time += hours(whole + 2 * above, self._dense())  # with the code, and with the mean, in its place
        row = M * d * BYTES[self.study.stream.precision]
        host = 2 * self.study.stream.shard_rows * row + 2 * sizes[0].parameters
        rebuilt = rows * d * BYTES[self.study.stream.precision]  # of one member, put into its model
        return Work(time, M * rows, 1, 2 * sizes[0].parameters + 4 * 2 * M * d * S + rebuilt, host)

    def _measure_dynamics(self, cfg: Settings) -> Work:
        rows, S = cfg["held_out_shards"] * self.study.stream.shard_rows, self._latents
        readers = [len(course["members"]) for course in cfg["courses"]] + [len(cfg["joint"] or [])]
        d = self.size(cfg["states"][0]).hidden_size
        flops = sum(rows * 2 * M * d * S for M in readers)
        host = rows * d * BYTES[self.study.stream.precision]
        return Work(hours(flops, self._dense("float32")), rows * len(cfg["states"]), 1, None, host)

    # Interventions.

    def _intervene_benchmarks(self, cfg: Settings) -> Work:
        edits, settings = cfg["edits"], self.study.interventions
        kinds = [kind for kinds in edits.values() for kind in kinds]
        controls = [
            settings.random_sets * (1 + (kind == "exchange")) + 1 + SHIFTS + settings.random_directions
            for kind in kinds
        ]
        # The dose curve runs on all samples, controls and rivals on the test half.
        conditions = len(kinds) * len(settings.doses) + sum(controls) / 2
        return self._edited(self.study.roles.reference, conditions, len(edits))

    def _steer_benchmarks(self, cfg: Settings) -> Work:
        settings = self.study.interventions
        conditions = len(cfg["states"]) * (1 + SHIFTS * len(settings.doses) + settings.random_directions / 2)
        return self._edited(self.study.roles.reference, conditions, len(cfg["states"]))

    def _edited(self, model: str, conditions: float, states: int) -> Work:
        """Every sample answered under `conditions` edits; prompts are read once per running state."""
        size, e = self.size(model), self.study.evaluation
        tasks = [t for t in self.study.tasks.role_of() if t not in self.study.interventions.leave_out]
        asked = [self._asked(task) for task in tasks]
        prompts = sum(number for number, _ in asked) * self.assumed.prompt_tokens * states
        # The goal's text is read, too: of an answer to choose, as many tokens as one of these has.
        read = conditions * sum(
            number * (choices + 1) * self.assumed.choice_tokens for number, choices in asked if choices
        )
        written = conditions * sum(
            number * self._solution(e.max_new_tokens) for number, choices in asked if not choices
        )
        time = hours(size.forward(prompts + read, self._choice), self._small())
        rows = conditions * sum(number * choices for number, choices in asked)
        time += rows / e.batch_size * self.assumed.pass_s / 3600
        time += self._generated(size, written, e.max_new_tokens, False, 1)
        return Work(time, prompts + read + written, 1, 2 * size.parameters, 2 * size.parameters)
